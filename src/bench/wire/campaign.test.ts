import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { FakeStage, runOf } from "../../../test/fakes/wire-stage.ts";
import { wireArmsFor } from "./arms.ts";
import { planOf, runWireCampaign, type WireCampaign } from "./campaign.ts";
import { contentsFor } from "./contents.ts";
import type { WireRun } from "./document.ts";
import { linksFor } from "./links.ts";

const ARMS = ["qemu-default", "multifd", "post-copy", "relay"];

function campaignOf(parts: {
  links?: readonly string[];
  contents?: readonly string[];
  arms?: readonly string[];
  rest?: Partial<WireCampaign>;
}): WireCampaign & { readonly runsDone: WireRun[] } {
  const runsDone: WireRun[] = [];
  return {
    links: linksFor(parts.links ?? ["100Mbit/s"]).map((link) => ({
      link,
      contents: contentsFor(parts.contents ?? ["mixed"], link),
      arms: wireArmsFor(parts.arms ?? ARMS, link),
    })),
    runs: 2,
    proofs: false,
    seed: 5,
    before: [],
    signal: new AbortController().signal,
    say: () => undefined,
    onRun: (run) => runsDone.push(run),
    ...parts.rest,
    runsDone,
  };
}

const moves = (stage: FakeStage): readonly string[] =>
  stage.diary.filter((line) => line.startsWith("move")).map((line) => line.slice("move ".length));

describe("a campaign over the wire", () => {
  it("runs every arm once per repetition before any is run again, in the seed's order", async () => {
    const [first, again] = [new FakeStage(), new FakeStage()];
    await runWireCampaign(campaignOf({}), first);
    const order = moves(first);
    expect(order.slice(0, 4).toSorted()).toEqual(ARMS.toSorted());
    expect(order.slice(4).toSorted()).toEqual(ARMS.toSorted());
    await runWireCampaign(campaignOf({}), again);
    expect(moves(again)).toEqual(order);
    const others = new Set<string>();
    for (let seed = 0; seed < 8; seed += 1) {
      const stage = new FakeStage();
      await runWireCampaign(campaignOf({ rest: { seed } }), stage);
      others.add(moves(stage).join(" "));
    }
    expect(others.size).toBeGreaterThan(4);
  });

  it("has one network per link and one guest per contents, and leaves nothing", async () => {
    const stage = new FakeStage();
    const campaign = campaignOf({
      links: ["100Mbit/s", "unshaped"],
      contents: ["redis", "unique"],
      arms: ["relay"],
      rest: { runs: 1 },
    });
    expect(await runWireCampaign(campaign, stage)).toBe(true);
    const part = (contents: string) => [`guest ${contents}`, "move relay", "end guest"];
    const link = (name: string) => [`up ${name}`, ...part("redis"), ...part("unique"), "down"];
    expect(stage.diary).toEqual([...link("100Mbit/s"), ...link("unshaped")]);
  });

  it("records a run that failed, with why, and gives the next one a fresh guest", async () => {
    const stage = new FakeStage((arm) => (arm === "multifd" ? new Error("no such thing") : {}));
    const campaign = campaignOf({ rest: { runs: 1 } });
    await runWireCampaign(campaign, stage);
    expect(campaign.runsDone).toHaveLength(4);
    const failed = campaign.runsDone.find((run) => run.arm === "multifd");
    expect(failed).toMatchObject({ report: null, beside: null });
    expect(failed?.problem).toMatch(/no such thing/);
    const at = stage.diary.indexOf("move multifd");
    expect(stage.diary[at + 1]).toBe("end guest");
    expect(stage.diary.filter((line) => line === "guest mixed")).toHaveLength(at === 5 ? 1 : 2);
  });

  it("does not go on with a guest that arrived broken", async () => {
    const broken = { verdict: "failed" as const, checks: [], lost_acknowledged_writes: null };
    const stage = new FakeStage((arm) => (arm === "relay" ? { report: { correctness: broken } } : {}));
    await runWireCampaign(campaignOf({ rest: { runs: 1 } }), stage);
    expect(stage.diary[stage.diary.indexOf("move relay") + 1]).toBe("end guest");
  });

  it("takes its network down when it is interrupted", async () => {
    const stopped = new AbortController();
    const stage = new FakeStage(() => {
      stopped.abort(new Error("stop"));
      return new Error("lost");
    });
    const campaign = campaignOf({ rest: { signal: stopped.signal } });
    await expect(runWireCampaign(campaign, stage)).rejects.toThrow("stop");
    expect(stage.diary.at(-1)).toBe("down");
    expect(campaign.runsDone).toEqual([]);
  });

  it("taken in slices of any size, runs what it would have run at once, nothing twice", async () => {
    const whole = new FakeStage();
    await runWireCampaign(campaignOf({ contents: ["mixed", "redis"], rest: { proofs: true } }), whole);
    const acts = (stage: FakeStage) => stage.diary.filter((line) => /^(move|prove)/.test(line));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 7 }), async (size) => {
        const seen: string[] = [];
        const before: WireRun[] = [];
        for (let slices = 0, done = false; !done; slices += 1) {
          expect(slices).toBeLessThan(30);
          const stage = new FakeStage();
          const campaign = campaignOf({
            contents: ["mixed", "redis"],
            rest: { proofs: true, before: [...before], enough: () => acts(stage).length >= size },
          });
          done = await runWireCampaign(campaign, stage);
          seen.push(...acts(stage));
          before.push(...campaign.runsDone);
        }
        expect(seen).toEqual(acts(whole));
      }),
      { numRuns: 7 },
    );
  });

  it("does not make a network for cells that are whole", async () => {
    const stage = new FakeStage();
    const before = ["relay"].map((arm) => runOf("mixed", "100Mbit/s", arm, {}, { seed: 5 }));
    await runWireCampaign(campaignOf({ arms: ["relay"], rest: { runs: 1, before } }), stage);
    expect(stage.diary).toEqual([]);
  });
});

describe("proofs", () => {
  it("come after all that is measured, and leave out post-copy, whose memory is never whole while paused", () => {
    const [link] = linksFor(["1Gbit/s"]);
    if (link === undefined) throw new Error("no link");
    const plan = planOf(wireArmsFor(ARMS, link), { runs: 3, seed: 9, proofs: true });
    expect(plan.map(({ proof }) => proof)).toEqual([
      ...Array.from({ length: 12 }, () => false),
      ...Array.from({ length: 3 }, () => true),
    ]);
    expect(plan.filter(({ proof }) => proof).map(({ arm }) => arm.name)).not.toContain("post-copy");
  });
});
