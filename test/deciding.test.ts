/**
 * Stories of a copy, told line by line and compared with test/deciding/*.txt.
 * UPDATE=1 rewrites the files; read the difference before committing it.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

import { migrateSettings } from "../src/api/migration.ts";
import { techniques } from "../src/migration/techniques/index.ts";
import { tell } from "./deciding/copier.ts";
import type { Guest } from "./deciding/copier.ts";
import type { z } from "zod";

type Asked = z.input<typeof migrateSettings>;

const MiB = 2 ** 20;

/** A gigabyte over a line of 100 MiB/s, writing at this rate over 200 MiB. */
const writer = (writeMiB: number, more: Partial<Guest> = {}): Guest => ({
  ramBytes: 1024 * MiB,
  workingSetBytes: 200 * MiB,
  writeBytesPerSecond: writeMiB * MiB,
  linkBytesPerSecond: 100 * MiB,
  ...more,
});

const below = writer(40);
const near = writer(95);
const above = writer(300);

const stories: Record<string, readonly (readonly [string, Asked, Guest])[]> = {
  "plain-copying": [
    ["an idle guest converges", {}, writer(0.5, { workingSetBytes: 4 * MiB })],
    ["a writer below the link converges after a few rounds", {}, below],
    ["a writer above the link is copied for ever when nothing was asked to end it", {}, above],
    ["stop-and-copy pauses for everything", { technique: "stop-and-copy" }, below],
    ["stop-and-copy gives up at its timeout", { technique: "stop-and-copy", timeoutMs: 5000 }, below],
    ["post-copy fetches at once", { technique: "post-copy" }, above],
  ],
  "stop-rules": [
    ["rounds, writer below the link: ends before the rule", { stopRules: { rounds: 5 } }, below],
    ["rounds, writer near the link", { maxDowntimeMs: 100, stopRules: { rounds: 5 } }, near],
    ["rounds, writer above the link", { stopRules: { rounds: 5 } }, above],
    [
      "a rule fires at the round's end whose rest fits the pause: it is paused, not cancelled",
      { maxDowntimeMs: 51, stopRules: { rounds: 1 } },
      writer(0),
    ],
    ["bytes, writer below the link: ends before the rule", { stopRules: { bytesFactor: 1.5 } }, below],
    ["bytes, writer near the link", { maxDowntimeMs: 100, stopRules: { bytesFactor: 1.5 } }, near],
    ["bytes fire within a round", { stopRules: { bytesFactor: 0.5 } }, above],
    [
      "bytes, writer above the link",
      {
        stopRules: { bytesFactor: 2 },
        policy: { last: [{ do: "set-downtime", downtimeMs: 5000 }, { do: "cancel" }] },
      },
      above,
    ],
    [
      "remaining, writer below the link",
      { maxDowntimeMs: 60, stopRules: { remainingBytes: 20 * MiB } },
      below,
    ],
    [
      "remaining, writer near the link",
      { maxDowntimeMs: 60, stopRules: { remainingBytes: 100 * MiB } },
      near,
    ],
    [
      "remaining, writer above the link: never small enough, the rounds end it",
      { stopRules: { remainingBytes: 50 * MiB, rounds: 4 } },
      above,
    ],
  ],
  "adaptive-downtime": [
    ["a steady set under the ceiling", { adaptiveDowntimeCeilingMs: 3000 }, above],
    ["just under the ceiling", { adaptiveDowntimeCeilingMs: 2000 }, above],
    [
      "over the ceiling: the ladder throttles, then cancels",
      {
        adaptiveDowntimeCeilingMs: 1000,
        policy: { convergence: [{ stalledRounds: 4, action: { do: "throttle", percentMax: 40 } }] },
      },
      above,
    ],
    [
      "a set that still falls gets another round first",
      { maxDowntimeMs: 60, adaptiveDowntimeCeilingMs: 2000 },
      writer(95, { workingSetBytes: 800 * MiB }),
    ],
  ],
  ladder: [
    [
      "throttle until it converges",
      {
        policy: {
          convergence: [
            { stalledRounds: 2, action: { do: "throttle", percentMax: 50 } },
            { stalledRounds: 6, action: { do: "throttle", percentMax: 99 } },
          ],
        },
      },
      writer(150),
    ],
    [
      "the pause rises step by step, then post-copy",
      {
        policy: {
          initial: [{ do: "set-downtime", downtimeMs: 100 }],
          convergence: [
            { stalledRounds: 1, action: { do: "set-downtime", downtimeMs: 300 } },
            { stalledRounds: 2, action: { do: "set-downtime", downtimeMs: 500 } },
            { stalledRounds: 3, action: { do: "set-downtime", downtimeMs: 1000 } },
          ],
          last: [{ do: "post-copy" }],
        },
      },
      above,
    ],
    [
      "a guest that goes quiet resets the count",
      { policy: { convergence: [{ stalledRounds: 5, action: { do: "cancel" } }] } },
      { ...above, writeShareAt: (nowMs) => (nowMs < 15_000 ? 1 : 0.05) },
    ],
    [
      "throttle from the start",
      { policy: { initial: [{ do: "throttle", percentMax: 80 }] }, timeoutMs: 40_000 },
      above,
    ],
  ],
  "hybrid-switch": [
    ["after two rounds", { technique: "hybrid", switchRule: { when: "after-rounds", rounds: 2 } }, above],
    ["when dirty bytes stop shrinking", { technique: "hybrid", switchRule: { when: "stalled" } }, above],
    [
      "once copying on no longer shortens the pause as much as fetching shortens the stall",
      { technique: "hybrid", switchRule: { when: "shorter-stall" } },
      above,
    ],
    [
      "not while copying on leads to a shorter pause",
      { technique: "hybrid", switchRule: { when: "shorter-stall" } },
      below,
    ],
    [
      "an idle guest switches too, with little left to fetch",
      { technique: "hybrid" },
      writer(0.5, { workingSetBytes: 4 * MiB }),
    ],
  ],
  timeout: [
    ["cancel", { timeoutMs: 15_000 }, above],
    [
      "a longer pause",
      { timeoutMs: 15_000, policy: { last: [{ do: "set-downtime", downtimeMs: 3000 }] } },
      above,
    ],
    [
      "a longer pause that is still too short, then nothing left",
      { timeoutMs: 15_000, policy: { last: [{ do: "set-downtime", downtimeMs: 1000 }] } },
      above,
    ],
    ["throttle", { timeoutMs: 15_000, policy: { last: [{ do: "throttle", percentMax: 99 }] } }, above],
    ["post-copy", { timeoutMs: 15_000, policy: { last: [{ do: "post-copy" }] } }, above],
    [
      "force under its ceiling",
      { timeoutMs: 15_000, policy: { last: [{ do: "force", downtimeCeilingMs: 6000 }] } },
      above,
    ],
    [
      "force over its ceiling, then post-copy",
      {
        timeoutMs: 15_000,
        policy: { last: [{ do: "force", downtimeCeilingMs: 500 }, { do: "post-copy" }] },
      },
      above,
    ],
    [
      "force over its ceiling and nothing after it",
      { timeoutMs: 15_000, policy: { last: [{ do: "force", downtimeCeilingMs: 500 }] } },
      above,
    ],
    [
      "one endless round cannot hold up the next item",
      {
        timeoutMs: 15_000,
        policy: { last: [{ do: "set-downtime", downtimeMs: 1000 }, { do: "cancel" }] },
      },
      writer(300, { linkBytesPerSecond: 5 * MiB }),
    ],
  ],
};

describe("the deciding code tells these stories", () => {
  for (const [name, tales] of Object.entries(stories)) {
    test(name, () => {
      const told = tales
        .map(([title, asked, guest]) => {
          const settings = migrateSettings.parse(asked);
          return [`# ${title}`, ...tell(techniques[settings.technique], settings, guest).lines, ""].join(
            "\n",
          );
        })
        .join("\n");
      const file = fileURLToPath(new URL(`deciding/${name}.txt`, import.meta.url));
      if (process.env["UPDATE"] === "1") writeFileSync(file, told);
      expect(told).toBe(readFileSync(file, "utf8"));
    });
  }
});
