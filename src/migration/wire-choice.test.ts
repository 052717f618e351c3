/** Which way the bytes go: what was asked for, what measurement favours, and what is said when nothing was measured. */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { idleHosts } from "../../test/fakes/idle-hosts.ts";
import { migrateSettings } from "../api/migration.ts";
import { nativeWire, wirePlan } from "../api/wire.ts";
import { chooseWire, needsMeasuring, type WireFacts } from "./wire-choice.ts";
import type { z } from "zod";

const MIB = 2 ** 20;
const link = (bytesPerSecond: number) => ({ bytesPerSecond, bytes: MIB, ms: 60, roundTripMs: 1 });
const content = (filledPages: number, compressedShare: number | null, knownPages = 0) => ({
  pages: 256,
  filledPages,
  knownPages,
  compressedShare,
});

/** A guest of 4 GiB, half filled with what compresses well, over 25 MB/s, between hosts with nothing to do. */
const facts = (settings: z.input<typeof migrateSettings> = {}, more: Partial<WireFacts> = {}): WireFacts => ({
  settings: migrateSettings.parse(settings),
  ramBytes: 4096 * MIB,
  link: link(25e6),
  content: content(128, 0.4),
  ...idleHosts,
  ...more,
});

const plain = { path: "direct", native: nativeWire.parse({}) };

describe("auto", () => {
  test("takes the relays on a slow link, and says by which numbers", () => {
    const { plan, reason } = chooseWire(facts());
    expect(plan).toEqual({ path: "relay", encode: true, connections: 1, linkBytesPerSecond: 25e6 });
    for (const part of ["128 filled pages of 256", "40 %", "23.8 MiB/s", "59.6 MiB/s"])
      expect(reason).toContain(part);
  });

  test("takes them for a guest that comes back, on links and with contents where they would not be worth it", () => {
    const fast = { link: link(60e6), target: { cpus: 4, idleCpus: 0.8 } };
    expect(chooseWire(facts({}, fast)).plan.path).toBe("direct");
    const back = chooseWire(facts({}, { ...fast, content: content(128, 0.4, 120) }));
    expect(back.plan.path).toBe("relay");
    expect(back.reason).toContain("the target holds 94 % of them already");
    expect(chooseWire(facts({}, { content: content(128, 0.97, 120) })).plan.path).toBe("relay");
    expect(chooseWire(facts({}, { content: content(128, 0.4, 128) })).plan.path).toBe("relay");
  });

  test("counts what is idle once where both hosts are one machine", () => {
    const some = { source: { cpus: 2, idleCpus: 0.9 }, target: { cpus: 2, idleCpus: 0.9 }, link: link(35e6) };
    expect(chooseWire(facts({}, some)).plan.path).toBe("relay");
    expect(chooseWire(facts({}, { ...some, oneMachine: true })).plan.path).toBe("direct");
  });

  test("takes them under a cap, whatever the link carries", () => {
    const { plan, reason } = chooseWire(facts({ bandwidthBytesPerSecond: 10e6 }, { link: link(1e9) }));
    expect(plan.path).toBe("relay");
    expect(reason).toContain("the cap allows");
  });

  test("counts the time they take to start: a small guest is sooner across without them, unless it is known there", () => {
    const small = { ramBytes: 128 * MIB };
    const { plan, reason } = chooseWire(facts({}, small));
    expect(plan.path).toBe("direct");
    expect(reason).toContain("a relay would move");
    expect(chooseWire(facts({}, { ...small, content: content(128, 0.4, 110) })).plan.path).toBe("relay");
    expect(chooseWire(facts({}, { ramBytes: 512 * MIB })).plan.path).toBe("relay");
    // Started already, on both hosts.
    expect(chooseWire(facts({}, { ...small, relaysWait: true })).plan.path).toBe("relay");
  });

  test("says how old its measurement of the link is", () => {
    const { reason } = chooseWire(facts({}, { link: { ...link(25e6), ageMs: 12_000 } }));
    expect(reason).toContain("(1 MiB in 60 ms, 12 s ago)");
  });

  test.each<[string, Partial<WireFacts>, string]>([
    ["the link is faster than a relay encodes", { link: link(300e6) }, "a relay would move"],
    ["a host is too busy to encode", { target: { cpus: 4, idleCpus: 0.1 } }, "a relay would move"],
    ["nothing shrinks", { content: content(128, 0.97) }, "97 %"],
    ["a host has no memory for a relay", { freeBytes: 100 * MIB }, "100 MiB left"],
  ])("goes directly when %s", (_when, more, says) => {
    const { plan, reason } = chooseWire(facts({}, more));
    expect(plan.path).toBe("direct");
    expect(reason).toContain(says);
  });

  test.each<[string, Partial<WireFacts>, string]>([
    ["the link was not measured", { link: undefined }, "could not be measured"],
    ["the target did not tell how busy it is", { target: undefined }, "could not be measured"],
    ["no page could be sampled", { content: undefined }, "sampled"],
    ["hardly a page is filled", { content: content(3, 0.2) }, "only 3 of 256"],
    ["no page is filled", { content: content(0, null) }, "only 0 of 256"],
  ])("goes as one plain stream when %s, and says so", (_when, more, says) => {
    const { plan, reason } = chooseWire(facts({}, more));
    expect(plan).toEqual(plain);
    expect(reason).toContain(says);
  });

  test("leaves the relays out where all of it crosses sooner than they start", () => {
    const { plan, reason } = chooseWire(facts({}, { ramBytes: 8 * MIB }));
    expect(plan).toMatchObject({ path: "direct", native: { compression: "zstd" } });
    expect(reason).toContain("sooner than relays start");
  });
});

describe("direct", () => {
  const direct = (more: Partial<WireFacts> = {}, settings: z.input<typeof migrateSettings> = {}) =>
    chooseWire(facts({ wire: "direct", ...settings }, more));

  test("compresses in multifd's channels where the link is slower than that", () => {
    const { plan, reason } = direct();
    expect(plan).toEqual({
      path: "direct",
      native: { channels: 4, compression: "zstd", level: 1, xbzrleCacheBytes: 0 },
    });
    expect(reason).toContain("Multifd with 4 channels, zstd level 1");
  });

  test("takes channels without compression where one thread does not fill the link", () => {
    const { plan } = direct({ link: link(2e9), content: content(200, 0.95) });
    expect(plan).toMatchObject({ native: { channels: 4, compression: "none" } });
  });

  test.each<[string, Partial<WireFacts>, z.input<typeof migrateSettings>]>([
    ["post-copy, which multifd cannot do", {}, { technique: "post-copy" }],
    ["a policy that may end in post-copy", {}, { policy: { last: [{ do: "post-copy" }] } }],
    ["a QEMU without multifd", { capabilities: new Set() }, {}],
    ["one processor", { target: { cpus: 1, idleCpus: 1 } }, {}],
    ["a cap, which QEMU counts before it compresses", {}, { bandwidthBytesPerSecond: 5e6 }],
    ["nothing that compresses on a link that one thread fills", { content: content(200, 0.95) }, {}],
  ])("is one plain stream with %s", (_with, more, settings) => {
    expect(direct(more, settings).plan).toEqual(plain);
  });

  test("does not compress with what one of the QEMUs was built without", () => {
    expect(direct({ compressions: new Set(["none"]) }).plan).toEqual(plain);
  });
});

test("what was asked for is done without measuring", () => {
  const native = { channels: 2, compression: "zlib" as const };
  const asked = migrateSettings.parse({ wire: "direct", native });
  expect(needsMeasuring(asked)).toBe(false);
  expect(needsMeasuring(migrateSettings.parse({ wire: "relay" }))).toBe(false);
  expect(needsMeasuring(migrateSettings.parse({}))).toBe(true);
  expect(needsMeasuring(migrateSettings.parse({ wire: "direct" }))).toBe(true);
  const nothing = { link: undefined, target: undefined, content: undefined };
  expect(chooseWire(facts({ wire: "direct", native }, nothing)).plan).toMatchObject({ native });
  expect(chooseWire(facts({ wire: "relay" }, nothing)).plan.path).toBe("relay");
});

test("whatever was measured, there is a plan both hosts understand and a sentence without gaps", () => {
  const rate = fc.double({ min: 1, max: 1e12, noNaN: true });
  const cpus = fc.record({
    cpus: fc.integer({ min: 1, max: 512 }),
    idleCpus: fc.double({ min: 0, max: 512, noNaN: true }),
  });
  fc.assert(
    fc.property(
      fc.constantFrom("auto", "direct", "relay"),
      fc.option(rate, { nil: undefined }),
      fc.option(fc.tuple(fc.integer({ min: 0, max: 256 }), fc.double({ min: 0, max: 1.2, noNaN: true })), {
        nil: undefined,
      }),
      cpus,
      fc.option(cpus, { nil: undefined }),
      fc.integer({ min: 0, max: 2 ** 50 }),
      fc.option(rate, { nil: undefined }),
      (wire, bytesPerSecond, sample, source, target, ramBytes, bandwidthBytesPerSecond) => {
        const { plan, reason } = chooseWire(
          facts(
            { wire, ...(bandwidthBytesPerSecond === undefined ? {} : { bandwidthBytesPerSecond }) },
            {
              link: bytesPerSecond === undefined ? undefined : link(bytesPerSecond),
              content:
                sample === undefined ? undefined : content(sample[0], sample[0] === 0 ? null : sample[1]),
              source,
              target,
              ramBytes,
            },
          ),
        );
        expect(wirePlan.safeParse(plan).success).toBe(true);
        expect(reason).not.toMatch(/NaN|undefined|Infinity|null/);
        if (wire !== "auto") expect(plan.path).toBe(wire);
      },
    ),
  );
});
