import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { migrateRequest } from "../../api/migration.ts";
import { workloads } from "../../lab/guest/workloads.ts";
import { timeoutMsFor, wireArmNames, wireArmsFor } from "./arms.ts";
import { RAM_BYTES, contentsFor, contentsNames } from "./contents.ts";
import { type Link, linkNames, linksFor } from "./links.ts";

const links: fc.Arbitrary<Link> = fc
  .option(fc.integer({ min: 1e6, max: 1.25e9 }))
  .map((bytesPerSecond) => ({ name: "some", bytesPerSecond }));

describe("the arms", () => {
  it("are requests an agent takes, at any link, all with one pause and one timeout", () => {
    fc.assert(
      fc.property(links, (link) => {
        const asked = wireArmsFor(wireArmNames, link).map(({ settings }) =>
          migrateRequest.parse({ target: "b", ...settings }),
        );
        expect(new Set(asked.map(({ maxDowntimeMs }) => maxDowntimeMs)).size).toBe(1);
        const copies = asked.filter(({ technique }) => technique !== "post-copy");
        expect(new Set(copies.map(({ timeoutMs }) => timeoutMs))).toEqual(new Set([timeoutMsFor(link)]));
      }),
    );
  });

  it("have the whole memory's time, more than once, before the timeout", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1e6, max: 1.25e9 }), (bytesPerSecond) => {
        const seconds = timeoutMsFor({ name: "some", bytesPerSecond }) / 1000;
        expect(seconds * bytesPerSecond).toBeGreaterThan(2 * RAM_BYTES);
      }),
    );
  });

  it("that begin with something known go by what is asked of the relay, and no other arm does", () => {
    const [link] = linksFor(["1Gbit/s"]);
    if (link === undefined) throw new Error("no link");
    const arms = wireArmsFor(wireArmNames, link);
    const relay = arms.find(({ name }) => name === "relay");
    expect(arms.filter(({ before }) => before !== "nobody")).toMatchObject(
      ["relay-return", "relay-sibling"].map((name) => ({ name, stock: false, settings: relay?.settings })),
    );
  });

  it("that are stock never leave the way to the agent", () => {
    const [link] = linksFor(["1Gbit/s"]);
    if (link === undefined) throw new Error("no link");
    for (const { stock, settings } of wireArmsFor(wireArmNames, link)) {
      if (stock) expect(settings).toMatchObject({ wire: "direct", native: expect.anything() as object });
      else expect(settings.native).toBeUndefined();
    }
  });
});

describe("the contents", () => {
  it("are what the lab's guests can be told, and fit into their memory", () => {
    fc.assert(
      fc.property(links, (link) => {
        for (const { workload, params, memory } of contentsFor(contentsNames, link)) {
          expect(memory).toBe("256MiB");
          const words = workloads[workload].cmdline(params);
          const set = Number(/godwit\.writer=(\d+)/.exec(words)?.[1] ?? 0);
          expect(set).toBeLessThanOrEqual(RAM_BYTES / 2);
        }
      }),
    );
  });

  it("are written slower than the link, so that a stock copy can end", () => {
    const [link] = linksFor(["100Mbit/s"]);
    const bytesPerSecond = link?.bytesPerSecond ?? 0;
    if (link === undefined) throw new Error("no link");
    for (const { params } of contentsFor(contentsNames, link)) {
      const rate = typeof params["rate"] === "string" ? Number.parseInt(params["rate"], 10) : 0;
      expect(rate).toBeLessThanOrEqual(bytesPerSecond / 2);
    }
  });
});

describe("a name that does not exist", () => {
  const [link] = linksFor(["unshaped"]);
  it("is refused with those that do", () => {
    if (link === undefined) throw new Error("no link");
    expect(() => wireArmsFor(["toString"], link)).toThrow(/multifd-zstd1/);
    expect(() => contentsFor(["__proto__"], link)).toThrow(/booted-server/);
    expect(() => linksFor(["fast"])).toThrow(/1Gbit\/s/);
    expect(() => linksFor(["100"])).toThrow(/1Gbit\/s/);
  });

  it("but any rate is a link", () => {
    expect(linksFor(["200Mbit/s"])).toEqual([{ name: "200Mbit/s", bytesPerSecond: 25_000_000 }]);
    expect(linksFor(linkNames).map(({ bytesPerSecond }) => bytesPerSecond)).toEqual([
      12_500_000,
      125_000_000,
      null,
    ]);
  });
});
