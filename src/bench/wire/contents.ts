/**
 * What the guest's memory holds and how it changes: one table. What a relay can save depends on nothing else, so the
 * contents that compress and repeat stand beside one that does neither. Writers write at a share of the link's rate at
 * which a stock copy still converges: a cell that only the relay can finish would compare nothing.
 */
import { formatBytes, formatRate } from "../../std/units.ts";
import { pick } from "../pick.ts";
import type { Link } from "./links.ts";

const MIB = 2 ** 20;
/** Of every guest here. */
export const RAM_BYTES = 256 * MIB;
/** Where nothing is shaped, writers write as on this link. */
const UNSHAPED_AS_BYTES_PER_SECOND = 125_000_000;
const REDIS_WRITES_PER_SECOND = 200;

/** The cells of these have a goal of their own for the bytes after the first round: little of a page changes. */
export const FEW_BYTES_CHANGE: ReadonlySet<string> = new Set(["redis", "partial"]);

export interface Contents {
  readonly name: string;
  /** For the result document: what the guest's memory holds and what changes it. */
  readonly says: string;
  readonly workload: "idle" | "redis" | "writer";
  readonly memory: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly writesPerSecond?: number;
}

type ContentsOf = (linkBytesPerSecond: number) => Omit<Contents, "name" | "memory">;

const writer =
  (content: "unique" | "mixed" | "partial", setBytes: number, share: number, holds: string): ContentsOf =>
  (linkBytesPerSecond) => {
    const rate = Math.round(share * linkBytesPerSecond);
    return {
      workload: "writer",
      params: { set: `${setBytes}B`, rate: `${rate}B/s`, pattern: "random", content },
      says:
        `${formatBytes(setBytes)} of ${holds}; pages at random are written at ${formatRate(rate)} (4 KiB each), ` +
        `${Math.round(share * 100)} % of the link's rate`,
    };
  };

const CONTENTS: Readonly<Record<string, ContentsOf>> = {
  "booted-server": () => ({
    workload: "idle",
    params: {},
    says: "a server that has booted and answers, with nothing to do",
  }),
  redis: () => ({
    workload: "redis",
    params: {},
    writesPerSecond: REDIS_WRITES_PER_SECOND,
    says: `Redis, into which a client outside writes ${REDIS_WRITES_PER_SECOND} new keys a second, open loop`,
  }),
  mixed: writer(
    "mixed",
    128 * MIB,
    0.2,
    "pages of which 20 % are zero, 20 % one of 16 contents, 35 % text, 25 % unique and incompressible",
  ),
  partial: writer(
    "partial",
    64 * MIB,
    0.5,
    "incompressible pages of which a write changes the head and 64 to 248 bytes",
  ),
  unique: writer("unique", 128 * MIB, 0.1, "pages that are all different and incompressible"),
};

export const contentsNames: readonly string[] = Object.keys(CONTENTS);

/** @throws CodedError USAGE naming those there are. */
export const contentsFor = (names: readonly string[], link: Link): readonly Contents[] =>
  pick("contents", CONTENTS, names).map(([name, contents]) => ({
    name,
    memory: `${RAM_BYTES / MIB}MiB`,
    ...contents(link.bytesPerSecond ?? UNSHAPED_AS_BYTES_PER_SECOND),
  }));
