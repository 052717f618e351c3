import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { migrationOf } from "../../test/fakes/fixtures.ts";
import type { PhaseName } from "../api/migration.ts";
import { Delivery, HOLD_MS_MAX, ROUND_MS, SLICE } from "./delivery.ts";
import { EventHub, type Numbered } from "./events.ts";

/** A clock, and an event loop whose turns are taken one by one. */
class Loop {
  nowMs = 0;
  readonly #due: { readonly atMs: number; readonly work: () => void }[] = [];
  readonly ports = {
    nowMs: () => this.nowMs,
    schedule: (work: () => void, inMs: number) => void this.#due.push({ atMs: this.nowMs + inMs, work }),
  };

  /** @returns whether there was anything to do by now. */
  turn(): boolean {
    const index = this.#due.findIndex(({ atMs }) => atMs <= this.nowMs);
    if (index === -1) return false;
    this.#due.splice(index, 1)[0]?.work();
    return true;
  }
  pass(ms: number): void {
    this.nowMs += ms;
    while (this.turn());
  }
}
class Ear {
  readonly heard: string[] = [];
  pieces = 0;
  take(events: readonly Numbered[]): void {
    if (events.length > 0) this.pieces += 1;
    for (const { event } of events) {
      this.heard.push(
        event.type === "vm-gone"
          ? event.name
          : event.type === "migration"
            ? event.migration.phase
            : event.type,
      );
    }
  }
}
function stage(crowd: number) {
  const [hub, loop] = [new EventHub(), new Loop()];
  const delivery = new Delivery(hub, loop.ports);
  const ears = Array.from({ length: crowd }, () => new Ear());
  for (const ear of ears) delivery.join(ear);
  return {
    delivery,
    loop,
    ears,
    hub,
    gone: (name: string): void => hub.publish({ type: "vm-gone", name }),
    phase: (phase: PhaseName): void => hub.publish({ type: "migration", migration: migrationOf({ phase }) }),
    told: (): number => ears.filter(({ heard }) => heard.length > 0).length,
  };
}
const CROWD = 3 * SLICE;

test("a few are told as soon as the work that caused an event is done, and not before", () => {
  const { loop, gone, told } = stage(SLICE);
  gone("one");
  expect(told()).toBe(0);
  loop.turn();
  expect(told()).toBe(SLICE);
});

describe("a crowd", () => {
  test("is never told all in one turn", () => {
    const { loop, gone, told } = stage(CROWD);
    gone("one");
    loop.turn();
    expect(told()).toBe(SLICE);
    loop.pass(0);
    expect(told()).toBe(CROWD);
  });

  test("hears in rounds: what happened since the last one, in one piece", () => {
    const { loop, gone, ears } = stage(CROWD);
    gone("first");
    loop.pass(0);
    for (let n = 0; n < 10; n += 1) {
      gone(String(n));
      loop.pass(ROUND_MS / 20);
    }
    expect(ears.every(({ heard }) => heard.join() === "first")).toBe(true);
    loop.pass(ROUND_MS);
    expect(ears.every(({ heard, pieces }) => heard.length === 11 && pieces === 2)).toBe(true);
  });

  test("waits while a guest is paused, and hears of it at its end", () => {
    const { loop, phase, ears } = stage(CROWD);
    phase("copying");
    loop.pass(ROUND_MS);
    phase("switching");
    loop.pass(ROUND_MS);
    phase("handing-over");
    loop.pass(ROUND_MS);
    expect(ears.every(({ heard }) => heard.join() === "copying")).toBe(true);
    phase("handed-over");
    loop.pass(0);
    expect(ears.every(({ heard }) => heard.join() === "copying,switching,handing-over,handed-over")).toBe(
      true,
    );
  });

  test("does not wait for ever for a guest that stays paused", () => {
    const { loop, phase, ears } = stage(CROWD);
    phase("switching");
    loop.pass(HOLD_MS_MAX - 1);
    expect(ears[0]?.heard).toEqual([]);
    loop.pass(1);
    expect(ears.every(({ heard }) => heard.join() === "switching")).toBe(true);
  });
});

test("whoever comes and goes when, each hears all events of its time once, in order", () => {
  const act = fc.constantFrom("event", "pause", "join", "leave", "turn", "time", "rejoin");
  fc.assert(
    fc.property(fc.array(act, { maxLength: 120 }), fc.integer({ min: 0, max: 200 }), (acts, crowd) => {
      const { delivery, hub, loop, gone, phase } = stage(crowd);
      const present: { ear: Ear; leave: () => void; from: number }[] = [];
      const all: string[] = [];
      for (const what of acts) {
        if (what === "event") {
          all.push(String(all.length));
          gone(all.at(-1) ?? "");
        } else if (what === "pause") {
          all.push("switching");
          phase("switching");
        } else if (what === "turn") loop.turn();
        else if (what === "time") loop.pass(ROUND_MS / 2);
        else if (what === "leave") present.pop()?.leave();
        else {
          const ear = new Ear();
          // One that comes back asks for what came after the event before the last.
          const back = what === "rejoin" && all.length > 1;
          const leave = delivery.join(ear, back ? hub.newest - 1 : undefined);
          present.push({ ear, leave, from: back ? all.length - 1 : all.length });
        }
      }
      for (let n = 0; n < 4; n += 1) loop.pass(HOLD_MS_MAX);
      for (const { ear, from } of present) expect(ear.heard).toEqual(all.slice(from));
    }),
  );
});
