import { describe, expect, test } from "vitest";

import { migrateSettings } from "../api/migration.ts";
import { contradictions } from "./contradictions.ts";
import type { z } from "zod";

type Asked = z.input<typeof migrateSettings>;

const found = (asked: Asked): string[] => contradictions(migrateSettings.parse(asked));

describe("settings that make sense together pass", () => {
  const sound: readonly Asked[] = [
    {},
    { technique: "stop-and-copy", verifyMemory: true, timeoutMs: 60_000 },
    { technique: "post-copy" },
    { technique: "hybrid", switchRule: { when: "stalled" }, stopRules: { rounds: 10 } },
    { adaptiveDowntimeCeilingMs: 300 },
    { wire: "direct", native: { channels: 4, compression: "zstd", level: 20 } },
    { native: { xbzrleCacheBytes: 64 * 2 ** 20 } },
    { wire: "relay", technique: "post-copy" },
    { timeoutMs: 60_000, policy: { last: [{ do: "force", downtimeCeilingMs: 2000 }, { do: "cancel" }] } },
  ];
  test.each(sound)("%j", (asked) => {
    expect(found(asked)).toEqual([]);
  });
});

describe("settings that contradict each other are named, with what to change", () => {
  const cancel = { do: "cancel" } as const;
  const wrong: readonly (readonly [Asked, RegExp])[] = [
    [{ technique: "post-copy", stopRules: { rounds: 3 } }, /stop rule needs rounds.*choose pre-copy/],
    [{ technique: "post-copy", adaptiveDowntimeCeilingMs: 900 }, /learns from rounds/],
    [{ technique: "post-copy", timeoutMs: 900 }, /timeout cannot end a fetch/],
    [
      { technique: "stop-and-copy", stopRules: { bytesFactor: 3 } },
      /pauses the guest before the first round/,
    ],
    [{ technique: "stop-and-copy", maxDowntimeMs: 100 }, /cannot keep a maximum downtime of 100 ms/],
    [
      { technique: "post-copy", policy: { initial: [{ do: "throttle", percentMax: 9 }] } },
      /ladder acts on rounds/,
    ],
    [{ technique: "post-copy", verifyMemory: true }, /post-copy runs it before/],
    [{ technique: "hybrid", verifyMemory: true }, /hybrid runs it before/],
    [
      { verifyMemory: true, policy: { last: [{ do: "post-copy" }] } },
      /a policy with post-copy runs it before/,
    ],
    [{ maxDowntimeMs: 500, adaptiveDowntimeCeilingMs: 499 }, /ceiling of 499 ms is below.*Raise/],
    [{ policy: { last: [{ do: "force", downtimeCeilingMs: 299 }] } }, /forced pause.*Raise/],
    [{ switchRule: { when: "stalled" } }, /belongs to hybrid, not to pre-copy/],
    [
      { technique: "hybrid", switchRule: { when: "after-rounds", rounds: 5 }, stopRules: { rounds: 5 } },
      /before hybrid switches after 5/,
    ],
    [{ policy: { last: [cancel, { do: "force", downtimeCeilingMs: 900 }] } }, /nothing can follow "cancel"/],
    [{ wire: "relay", native: { channels: 2 } }, /nothing through the relays.*wire direct/],
    [{ technique: "post-copy", native: { channels: 2 } }, /multifd cannot fetch/],
    [{ policy: { last: [{ do: "post-copy" }] }, native: { channels: 2 } }, /multifd cannot fetch/],
    [{ native: { channels: 2, xbzrleCacheBytes: 2 ** 20 } }, /XBZRLE and multifd exclude each other/],
    [{ native: { compression: "zstd" } }, /in multifd's channels only/],
    [{ native: { channels: 2, compression: "zlib", level: 10 } }, /zlib has levels 0 to 9, not 10/],
    [{ native: { xbzrleCacheBytes: 1_000_000 } }, /not a power of two/],
    [{ policy: { initial: [cancel] } }, /ends copying before it begins. Remove it/],
    [
      {
        policy: {
          convergence: [
            { stalledRounds: 3, action: { do: "throttle", percentMax: 9 } },
            { stalledRounds: 2, action: cancel },
          ],
        },
      },
      /\(3, 2\) go down/,
    ],
  ];
  test.each(wrong)("%j", (asked, sentence) => {
    expect(found(asked)).toEqual([expect.stringMatching(sentence)]);
  });
});
