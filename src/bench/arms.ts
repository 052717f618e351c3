/**
 * The arms of the comparison: one table, each a technique with settings under which one rule visibly does its work.
 * Limits follow from the link, so that an arm means the same at every rate. How a rule works is migration/'s business.
 */
import type { z } from "zod";

import type { migrateSettings } from "../api/migration.ts";
import { WRITER_SET_BYTES } from "./loads.ts";
import { pick } from "./pick.ts";

export interface Arm {
  readonly name: string;
  /** For the result document: what this arm is there to show. */
  readonly shows: string;
  readonly settings: z.input<typeof migrateSettings>;
}

interface Limits {
  /** Copying ends here: twice the time the whole RAM would take. */
  readonly timeoutMs: number;
  /** A pause that sends the writer's whole set still fits, with a fifth to spare. */
  readonly pauseCeilingMs: number;
  /** Half a second of the link. */
  readonly smallBytes: number;
  /** Leaves the link's queues empty: with the streams' overhead about nine tenths of the link. */
  readonly pacedBytesPerSecond: number;
}

const RAM_BYTES = 256 * 2 ** 20;
const TIMEOUT_MS_MIN = 15_000;
const ROUNDS = 3;
const PACED_SHARE = 0.85;

export function limitsFor(linkBytesPerSecond: number): Limits {
  const ms = (bytes: number): number => Math.ceil((bytes / linkBytesPerSecond) * 1000);
  return {
    timeoutMs: Math.max(TIMEOUT_MS_MIN, ms(2 * RAM_BYTES)),
    pauseCeilingMs: ms(1.2 * WRITER_SET_BYTES) + 300,
    smallBytes: Math.round(linkBytesPerSecond / 2),
    pacedBytesPerSecond: Math.round(PACED_SHARE * linkBytesPerSecond),
  };
}

type ArmOf = (limits: Limits) => Omit<Arm, "name">;

const ARMS: Readonly<Record<string, ArmOf>> = {
  "stop-and-copy": () => ({
    shows: "the floor of total time and bytes, and the ceiling of downtime",
    settings: { technique: "stop-and-copy" },
  }),
  "pre-copy": ({ timeoutMs }) => ({
    shows: "QEMU's own rule, a pause of 300 ms; ends at the timeout when it does not converge",
    settings: { technique: "pre-copy", timeoutMs },
  }),
  "pre-copy-stepped": ({ timeoutMs }) => ({
    shows: "a ladder of pauses: 75 ms are tried first, 300 ms allowed after one stalled round",
    settings: {
      technique: "pre-copy",
      timeoutMs,
      policy: {
        initial: [{ do: "set-downtime", downtimeMs: 75 }],
        convergence: [{ stalledRounds: 1, action: { do: "set-downtime", downtimeMs: 300 } }],
      },
    },
  }),
  "pre-copy-rounds": ({ timeoutMs }) => ({
    shows: `stop rule (a): after ${ROUNDS} rounds post-copy brings the rest`,
    settings: {
      technique: "pre-copy",
      timeoutMs,
      stopRules: { rounds: ROUNDS },
      policy: { last: [{ do: "post-copy" }] },
    },
  }),
  "pre-copy-bytes": ({ timeoutMs, pauseCeilingMs }) => ({
    shows: "stop rule (b): after as many bytes as the RAM has, a pause is forced under a ceiling",
    settings: {
      technique: "pre-copy",
      timeoutMs,
      stopRules: { bytesFactor: 1 },
      policy: { last: [{ do: "force", downtimeCeilingMs: pauseCeilingMs }] },
    },
  }),
  "pre-copy-remaining": ({ timeoutMs, smallBytes }) => ({
    shows: "stop rule (c): paused as soon as a round leaves no more than half a second of the link",
    settings: { technique: "pre-copy", timeoutMs, stopRules: { remainingBytes: smallBytes } },
  }),
  "pre-copy-adaptive": ({ timeoutMs, pauseCeilingMs }) => ({
    shows: "the pause allowed follows the working set, under a ceiling",
    settings: { technique: "pre-copy", timeoutMs, adaptiveDowntimeCeilingMs: pauseCeilingMs },
  }),
  "pre-copy-throttle": ({ timeoutMs }) => ({
    shows: "a ladder: after one stalled round the guest is slowed down, by up to 99 %",
    settings: {
      technique: "pre-copy",
      timeoutMs,
      policy: { convergence: [{ stalledRounds: 1, action: { do: "throttle", percentMax: 99 } }] },
    },
  }),
  "post-copy": () => ({
    shows: "the guest runs at the target at once and every page crosses one time",
    settings: { technique: "post-copy" },
  }),
  "pre-copy-paced": ({ timeoutMs, pacedBytesPerSecond }) => ({
    shows: "sending at 85 % of the link, so that no queue stands in the way of what the pause sends",
    settings: { technique: "pre-copy", timeoutMs, bandwidthBytesPerSecond: pacedBytesPerSecond },
  }),
  "post-copy-paced": ({ pacedBytesPerSecond }) => ({
    shows: "pushing at 85 % of the link, so that pages asked for do not queue behind pages pushed",
    settings: { technique: "post-copy", bandwidthBytesPerSecond: pacedBytesPerSecond },
  }),
  "hybrid-after-rounds": ({ timeoutMs }) => ({
    shows: "one round of copying, then the rest is fetched",
    settings: { technique: "hybrid", timeoutMs, switchRule: { when: "after-rounds", rounds: 1 } },
  }),
  "hybrid-stalled": ({ timeoutMs }) => ({
    shows: "copying until the dirty set stops shrinking, then the rest is fetched",
    settings: { technique: "hybrid", timeoutMs, switchRule: { when: "stalled" } },
  }),
  "hybrid-shorter-stall": ({ timeoutMs }) => ({
    shows: "fetching as soon as it is expected to stall the guest for less time than copying on",
    settings: { technique: "hybrid", timeoutMs, switchRule: { when: "shorter-stall" } },
  }),
};

export const armNames: readonly string[] = Object.keys(ARMS);

/** @throws CodedError USAGE naming those there are. */
export function armsFor(names: readonly string[], linkBytesPerSecond: number): readonly Arm[] {
  const limits = limitsFor(linkBytesPerSecond);
  return pick("arm", ARMS, names).map(([name, arm]) => ({ name, ...arm(limits) }));
}
