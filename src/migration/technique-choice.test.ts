/** Which technique is taken where it was left to the agent, and what it says of it. */
import { describe, expect, test } from "vitest";

import { idleHosts } from "../../test/fakes/idle-hosts.ts";
import { migrateSettings } from "../api/migration.ts";
import { chooseTechnique, isQuiet, type TechniqueFacts } from "./technique-choice.ts";

const MIB = 2 ** 20;

/** So many of 2000 pages in 100 ms: of 1 GiB, each is 5.4 MB/s. */
const changed = (changedPages: number, compressedShare: number | null = 0.8) => ({
  pages: 2000,
  changedPages,
  ms: 100,
  compressedShare,
});

/** A guest of 1 GiB, half filled with what hardly compresses, over 100 MB/s: 0.5 GiB cross in 5.4 s as they are. */
const facts = (more: Partial<TechniqueFacts> = {}): TechniqueFacts => ({
  settings: migrateSettings.parse({ wire: "direct" }),
  ramBytes: 1024 * MIB,
  link: { bytesPerSecond: 100e6, bytes: 4 * MIB, ms: 60, roundTripMs: 1 },
  content: { pages: 256, filledPages: 128, knownPages: 0, compressedShare: 0.8 },
  ...idleHosts,
  change: changed(0),
  ...more,
});

describe("auto", () => {
  test("copies a guest that hardly changes, and fetches one that copying would send twice", () => {
    expect(chooseTechnique(facts()).technique).toBe("pre-copy");
    expect(chooseTechnique(facts({ change: changed(4) })).technique).toBe("pre-copy");
    const { technique, reason } = chooseTechnique(facts({ change: changed(11) }));
    expect(technique).toBe("post-copy");
    for (const part of ["11 of 2000 pages in 100 ms", "is over in", "fetching in 5.4 s"])
      expect(reason).toContain(part);
  });

  test("copies a quiet guest also where the processors that compress it are busy", () => {
    const busy = { cpus: 4, idleCpus: 0.1 };
    const at = (pages: number): string =>
      chooseTechnique(facts({ source: busy, change: changed(pages) })).technique;
    expect([at(1), at(6)]).toEqual(["pre-copy", "post-copy"]);
  });

  test("reckons with the processor that the guest leaves, for fetching", () => {
    const [source, target] = [
      { cpus: 2, idleCpus: 0.1 },
      { cpus: 2, idleCpus: 0.1 },
    ];
    const fetching = (oneMachine: boolean): string => {
      const { reason } = chooseTechnique(facts({ source, target, oneMachine, change: changed(6) }));
      return /fetching in ([\d.]+ m?s)/.exec(reason)?.[1] ?? reason;
    };
    // By another host's processor, which is no less busy, or by one that both have now.
    expect([fetching(false), fetching(true)]).toEqual(["8.6 s", "5.4 s"]);
  });

  test("fetches where copying never ends", () => {
    const { technique, reason } = chooseTechnique(facts({ change: changed(100) }));
    expect(technique).toBe("post-copy");
    expect(reason).toContain("never ends");
  });

  test("reckons with what becomes of the pages that change, not of all of them", () => {
    const content = { ...facts().content, compressedShare: 0.5 } as TechniqueFacts["content"];
    expect(chooseTechnique(facts({ change: changed(14, 0.4), content })).technique).toBe("pre-copy");
    expect(chooseTechnique(facts({ change: changed(14, 1), content })).technique).toBe("post-copy");
  });

  test("copies what compresses well although it changes: a fetch cannot compress", () => {
    const content = { ...facts().content, compressedShare: 0.2 } as TechniqueFacts["content"];
    expect(chooseTechnique(facts({ change: changed(11, 0.2), content })).technique).toBe("pre-copy");
  });

  test("copies through the relays, whatever changes", () => {
    const settings = migrateSettings.parse({ wire: "relay" });
    const { technique, reason } = chooseTechnique(facts({ settings, change: changed(50) }));
    expect(technique).toBe("pre-copy");
    expect(reason).toContain("relays");
  });

  test.each<[string, Partial<TechniqueFacts>, string]>([
    ["the target cannot fetch", { cannotFetch: "no fetch can arrive at the target" }, "no fetch can arrive"],
    ["memory could not be seen", { change: undefined }, "could not be measured"],
    ["the link could not be measured", { link: undefined }, "could not be measured"],
    [
      "QEMU's own settings are asked for",
      { settings: migrateSettings.parse({ wire: "direct", native: { channels: 2 } }) },
      "own settings",
    ],
  ])("copies where %s, and says so", (_where, more, says) => {
    const { technique, reason } = chooseTechnique(facts({ change: changed(100), ...more }));
    expect(technique).toBe("pre-copy");
    expect(reason).toContain(says);
  });

  test("looks longer only at a guest that changes", () => {
    expect(isQuiet(facts({ change: changed(2) }))).toBe(true);
    expect(isQuiet(facts({ change: changed(6) }))).toBe(false);
    expect(isQuiet(facts({ change: undefined }))).toBe(true);
    expect(isQuiet(facts({ link: undefined, change: changed(50) }))).toBe(true);
  });

  test("a look that took no time says nothing", () => {
    expect(
      chooseTechnique(facts({ change: { pages: 0, changedPages: 0, ms: 0, compressedShare: null } }))
        .technique,
    ).toBe("pre-copy");
  });
});
