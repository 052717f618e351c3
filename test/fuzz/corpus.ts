/** The inputs that mutations begin with: small valid ones of each reader, and every one that once failed. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { zstdDecompressSync } from "node:zlib";

export const CORPUS = join(import.meta.dirname, "../corpus");
export const SUFFIX = ".bin.zst";

export interface CorpusFile {
  readonly reader: string;
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Of a folder with one folder per reader. */
export const corpus = (): readonly CorpusFile[] =>
  readdirSync(CORPUS).flatMap((reader) =>
    readdirSync(join(CORPUS, reader))
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => ({
        reader,
        name,
        bytes: new Uint8Array(zstdDecompressSync(readFileSync(join(CORPUS, reader, name)))),
      })),
  );
