/** The level that a relay ends up with on links and machines of many kinds, from what it can see of them. */
import { describe, expect, it } from "vitest";

import { EXPECTED, type LevelName } from "../wire/choose.ts";
import { LevelControl } from "./level-control.ts";

const TICK_MS = 250;
const FRAMES = 12;
const GBIT = 125e6;

interface World {
  readonly linkBytesPerSecond: number;
  /** Of what the levels are expected to do. */
  readonly codecSpeed?: number;
  readonly ratio?: (level: LevelName) => number;
  /** What the rest of the relay, or QEMU, can do at most. */
  readonly guestBytesPerSecond?: number;
  /** What guests leave to the codec. */
  readonly cores?: number;
  readonly cap?: number;
}

/** What so many seconds in that world make of the level; each change is told. */
function run(control: LevelControl, world: World, seconds: number, fromMs = 0): LevelName[] {
  const { linkBytesPerSecond, codecSpeed = 1, cores = 1, cap = null } = world;
  const path: LevelName[] = [control.current];
  for (let now = fromMs; now < fromMs + seconds * 1000; now += TICK_MS) {
    const level = control.current;
    const ratio = level === "off" ? 1 : (world.ratio?.(level) ?? EXPECTED[level].ratio);
    const codec = level === "off" ? Infinity : EXPECTED[level].bytesPerCoreSecond * codecSpeed;
    const link = Math.min(linkBytesPerSecond, cap ?? Infinity) / ratio;
    const guest = Math.min(codec, link, world.guestBytesPerSecond ?? Infinity);
    const rawBytes = (guest * TICK_MS) / 1000 / FRAMES;
    for (let frame = 0; frame < (level === "off" ? 0 : FRAMES); frame += 1) {
      control.coded({ rawBytes, wireBytes: rawBytes * ratio, codecMs: (rawBytes / codec) * 1000 }, now);
    }
    const isLinkBusy = guest === link;
    const next = control.tick(
      { bytesPerSecond: guest * ratio, isLinkBusy, wasFull: isLinkBusy, capBytesPerSecond: cap },
      Math.max(0, cores - (level === "off" ? 0 : guest / codec)),
      now + TICK_MS,
    );
    if (next !== path.at(-1)) path.push(next);
  }
  return path;
}

const control = (initial: LevelName = "zstd1"): LevelControl => new LevelControl(initial, 1, 0);

describe("the level", () => {
  it("stays high on a slow link, whatever it began with", () => {
    for (const initial of ["zstd1", "off", "zstd-3"] as const) {
      const path = run(control(initial), { linkBytesPerSecond: GBIT / 10 }, 60);
      expect(["zstd1", "zstd3", "zstd6"]).toContain(path.at(-1));
    }
  });

  it("goes down on a link that is never full, and off where the codec is slower than the link", () => {
    const path = run(control(), { linkBytesPerSecond: 40 * GBIT, codecSpeed: 0.5 }, 10);
    expect(path.at(-1)).toBe("off");
  });

  it("leaves the guests what they use: with a slower codec it goes down on a link of 1 Gbit/s", () => {
    const path = run(control(), { linkBytesPerSecond: GBIT, codecSpeed: 0.35 }, 20);
    expect(["zstd-1", "zstd-3"]).toContain(path.at(-1));
  });

  it("goes off where nothing can be compressed, and stays off while that is known", () => {
    const path = run(control(), { linkBytesPerSecond: GBIT, ratio: () => 1 }, 15);
    expect(path).toEqual(["zstd1", "off"]);
  });

  it("comes back from off when the link turns out to be slow", () => {
    const one = control();
    expect(run(one, { linkBytesPerSecond: 40 * GBIT, codecSpeed: 0.5 }, 10).at(-1)).toBe("off");
    expect(run(one, { linkBytesPerSecond: GBIT / 2 }, 20, 10_000).at(-1)).toMatch(/^zstd/);
  });

  it("takes a cap for the link", () => {
    expect(run(control(), { linkBytesPerSecond: 40 * GBIT, cap: GBIT / 10 }, 20)).toEqual(["zstd1"]);
  });

  it("says nothing while neither link nor codec is what all wait for", () => {
    const idle = { linkBytesPerSecond: 40 * GBIT, guestBytesPerSecond: 1e6 };
    expect(run(control(), idle, 30)).toEqual(["zstd1"]);
  });

  it("does not flap", () => {
    for (const linkBytesPerSecond of [GBIT / 10, GBIT, 2.5 * GBIT, 10 * GBIT]) {
      for (const codecSpeed of [0.3, 0.6, 1]) {
        const path = run(control(), { linkBytesPerSecond, codecSpeed }, 15);
        expect(path.length, path.join(" ")).toBeLessThan(6);
      }
    }
  });
});
