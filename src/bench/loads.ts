/**
 * What the guest does while it is moved: one table. Writers are chosen from the link's rate, because what decides a
 * technique's worth is how fast memory is dirtied compared with how fast it can be sent.
 */
import { pick } from "./pick.ts";

const MIB = 2 ** 20;
const MEMORY = "256MiB";
/** A quarter of the RAM: large enough that the working set decides, small enough to be sent several times a minute. */
export const WRITER_SET_BYTES = 64 * MIB;

export interface Load {
  readonly name: string;
  /** For the result document: what the guest does, with which contents. */
  readonly says: string;
  readonly workload: "idle" | "redis" | "writer";
  readonly memory: string;
  readonly params: Readonly<Record<string, unknown>>;
}

type LoadOf = (linkBytesPerSecond: number) => Omit<Load, "name">;

const quiet =
  (workload: "idle" | "redis", says: string): LoadOf =>
  () => ({ workload, says, memory: MEMORY, params: {} });

const writer =
  (share: number): LoadOf =>
  (linkBytesPerSecond) => {
    const rate = Math.round(share * linkBytesPerSecond);
    return {
      workload: "writer",
      memory: MEMORY,
      // Unique contents: nothing on the way can save bytes by accident.
      params: { set: "64MiB", rate: `${rate}B/s`, pattern: "random", content: "unique" },
      says:
        `writes ${(rate / MIB).toFixed(1)} MiB/s, ${Math.round(share * 100)} % of the link's rate, at random into ` +
        "64 MiB; every page unique and incompressible",
    };
  };

const LOADS: Readonly<Record<string, LoadOf>> = {
  idle: quiet("idle", "does nothing but send its beacon and answer the echo"),
  redis: quiet("redis", "runs Redis, into which a client outside writes 200 keys a second, open loop"),
  "writer-below": writer(0.2),
  "writer-near": writer(0.9),
  "writer-above": writer(2),
};

export const loadNames: readonly string[] = Object.keys(LOADS);

/** @throws CodedError USAGE naming those there are. */
export const loadsFor = (names: readonly string[], linkBytesPerSecond: number): readonly Load[] =>
  pick("workload", LOADS, names).map(([name, load]) => ({ name, ...load(linkBytesPerSecond) }));
