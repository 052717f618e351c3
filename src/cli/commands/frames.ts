/** godwit frames: what is in a recorded migration stream, or in a recorded return path. */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { createZstdDecompress } from "node:zlib";

import type { Command } from "commander";

import { CodedError } from "../../std/errors.ts";
import { FrameLister, messageText, type Frame } from "../../stream/frames.ts";
import { DEVICE_STATE_BYTES_MAX } from "../../stream/limits.ts";
import { StreamReader } from "../../stream/records.ts";
import { ReturnReader } from "../../stream/return-path.ts";
import { splitDevices } from "../../stream/vmdesc.ts";
import type { Cli } from "../context.ts";
import { verb, withOutput, type OutputFlags } from "../options.ts";
import { printResult, renderTable } from "../output.ts";

interface Flags extends OutputFlags {
  readonly pages?: boolean;
}

const CHUNK_BYTES = 2 ** 20;
/** A table nobody reads to its end; a file of more pages is listed without `--pages`. */
const ROWS_MAX = 200_000;
const ZSTD_MAGIC = 0xfd2f_b528;
const COMMAND_BYTE = 0x08;

export const framesCommand = (cli: Cli): Command =>
  withOutput(
    verb("frames", "", "godwit frames recording.stream", "godwit frames --pages recording.stream.zst"),
  )
    .argument("<file>", "a recorded stream or return path, as it is or compressed with zstd")
    .option("--pages", "a row for each page")
    .action(async (file: string, flags: Flags) => {
      const frames: Frame[] = [];
      for await (const frame of framesOf(file, flags.pages ?? false)) {
        frames.push(frame);
        if (frames.length > ROWS_MAX) {
          throw new CodedError("USAGE", {
            problem: `${file} has more than ${ROWS_MAX} rows.`,
            next: "List it without --pages.",
          });
        }
      }
      await printResult(cli, flags.output, frames, () =>
        renderTable(
          ["OFFSET", "BYTES", "KIND", "DETAIL"],
          frames.map(({ offset, bytes, kind, detail }) => [String(offset), String(bytes), kind, detail]),
          ["OFFSET", "BYTES"],
        ),
      );
    });

async function* framesOf(file: string, eachPage: boolean): AsyncGenerator<Frame> {
  const chunks = await contentOf(file);
  const first = await chunks.next();
  if (first.done === true) throw new CodedError("USAGE", { problem: `${file} is empty.` });
  const head = first.value;
  const all = (async function* () {
    yield head;
    yield* chunks;
  })();
  // A message of the return path begins with its type in two bytes, 1 to 7.
  yield* head[0] === 0 ? messages(all) : records(all, eachPage, head[0] === COMMAND_BYTE);
}

/** The bytes, decompressed if they are zstd's. */
async function contentOf(file: string): Promise<AsyncGenerator<Buffer>> {
  const handle = await open(file).catch((cause: unknown) => {
    throw new CodedError(
      "USAGE",
      { problem: `${file} cannot be read.`, next: "Name a recording." },
      { cause },
    );
  });
  const magic = Buffer.alloc(4);
  try {
    await handle.read(magic, 0, magic.length, 0);
  } finally {
    await handle.close();
  }
  const bytes = createReadStream(file, { highWaterMark: CHUNK_BYTES });
  const source = magic.readUInt32LE() === ZSTD_MAGIC ? bytes.pipe(createZstdDecompress()) : bytes;
  return (async function* () {
    for await (const chunk of source) yield chunk as Buffer;
  })();
}

async function* records(
  chunks: AsyncIterable<Buffer>,
  eachPage: boolean,
  resumes: boolean,
): AsyncGenerator<Frame> {
  const reader = new StreamReader(resumes ? { resumes: {} } : {});
  const lister = new FrameLister(eachPage);
  const tail: Buffer[] = [];
  let tailBytes = 0;
  let end = 0;
  for await (const chunk of chunks) {
    reader.push(chunk);
    for (const placed of reader) {
      end = placed.offset + placed.length;
      if (placed.record.kind === "opaque") {
        tailBytes += placed.length;
        if (tailBytes <= DEVICE_STATE_BYTES_MAX) tail.push(Buffer.from(placed.record.bytes));
      }
      yield* lister.add(placed);
    }
  }
  yield* lister.end();
  if (tailBytes <= DEVICE_STATE_BYTES_MAX) yield* devices(Buffer.concat(tail), end - tailBytes);
  if (reader.pendingBytes > 0 || reader.state !== "transparent")
    yield cut(end, reader.pendingBytes, reader.state);
}

/** What the opaque end holds, by name, when the stream describes it. */
function* devices(tail: Buffer, offset: number): Generator<Frame> {
  for (const { idstr, instance, from, to, bodyBytes } of splitDevices(tail) ?? []) {
    const detail = `${idstr}${instance === 0 ? "" : ` #${instance}`}, ${bodyBytes} bytes of state`;
    yield { offset: offset + from, bytes: to - from, kind: "device", detail };
  }
}

async function* messages(chunks: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  const reader = new ReturnReader();
  let end = 0;
  for await (const chunk of chunks) {
    reader.push(chunk);
    for (const { message, offset, length } of reader) {
      end = offset + length;
      yield { offset, bytes: length, kind: message.kind, detail: messageText(message) };
    }
  }
  if (reader.pendingBytes > 0) yield cut(end, reader.pendingBytes, "message");
}

const cut = (offset: number, bytes: number, within: string): Frame => ({
  offset,
  bytes,
  kind: "cut",
  detail: `the recording ends here, in ${within}`,
});
