/** A listener's outbox: whatever its pace, it ends with the newest of each kind or is told to read again, in bounded memory. */
import * as fc from "fast-check";
import { expect, test } from "vitest";

import { migrationOf, progressOf } from "../../test/fakes/fixtures.ts";
import { EventHub, EVENTS_KEPT, type Numbered } from "./events.ts";
import { Outbox, WAITING_MAX } from "./outbox.ts";

interface Told {
  readonly id: number;
  readonly key: string;
}

/** A listener that takes what it is told to take. */
function slowListener(hub: EventHub, lastId?: number) {
  const told: Told[] = [];
  const byFrame = new Map<Buffer, Numbered>();
  let room = 0;
  const outbox = new Outbox({
    write: (frame) => {
      const id = Number(/^id: (\d+)/.exec(frame.toString())?.[1]);
      const data = JSON.parse(/^data: (.*)$/m.exec(frame.toString())?.[1] ?? "{}") as { type: string };
      told.push({ id, key: byFrame.get(frame)?.key ?? data.type });
      room -= 1;
      return room > 0;
    },
    missed: () => hub.missed(),
  });
  hub.subscribe((numbered) => {
    byFrame.set(numbered.frame, numbered);
    outbox.push(numbered);
  }, lastId);
  return {
    told,
    take: (count: number): void => {
      room = count;
      if (outbox.blocked) outbox.drained();
    },
  };
}

const kinds = ["one", "two", "three"];
const action = fc.oneof(
  { weight: 3, arbitrary: fc.record({ publish: fc.constantFrom(...kinds) }) },
  { weight: 1, arbitrary: fc.record({ flood: fc.integer({ min: 1, max: 2 * WAITING_MAX }) }) },
  { weight: 2, arbitrary: fc.record({ take: fc.integer({ min: 1, max: 5 }) }) },
);

test("what it is told is in order, and ends with the newest of each kind or a missed after it", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const hub = new EventHub();
      const newest = new Map<string, number>();
      hub.subscribe(({ id, key }) => newest.set(key, id));
      const listener = slowListener(hub);
      for (const each of actions) {
        if ("publish" in each) hub.publish({ type: "vm-gone", name: each.publish });
        else if ("take" in each) listener.take(each.take);
        else for (let n = 0; n < each.flood; n += 1) hub.publish({ type: "vm-gone", name: `vm-${n}` });
      }
      listener.take(Number.POSITIVE_INFINITY);
      const ids = listener.told.map(({ id }) => id);
      expect(ids).toEqual(ids.toSorted((a, b) => a - b));
      for (const [key, id] of newest) {
        const last = listener.told.findLast((one) => one.key === key || one.key === "missed");
        expect(last?.key === "missed" ? last.id >= id : last?.id === id).toBe(true);
      }
    }),
  );
});

test("progress replaces progress, a change of phase is always told", () => {
  const hub = new EventHub();
  const listener = slowListener(hub);
  const publish = (phase: "copying" | "switching", sentBytes: number): void =>
    hub.publish({
      type: "migration",
      migration: migrationOf({ phase, progress: progressOf({ sentBytes }) }),
    });
  listener.take(1);
  publish("copying", 1);
  publish("copying", 2);
  publish("copying", 3);
  publish("switching", 4);
  publish("switching", 5);
  listener.take(100);
  expect(listener.told.map(({ key }) => key)).toEqual([
    "migration m-1 copying ",
    "migration m-1 copying ",
    "migration m-1 switching ",
  ]);
});

test("an event has one frame for all listeners", () => {
  const hub = new EventHub();
  const frames = new Set<Buffer>();
  for (let n = 0; n < 10; n += 1) hub.subscribe(({ frame }) => frames.add(frame));
  hub.publish({ type: "vm-gone", name: "x" });
  expect(frames.size).toBe(1);
});

test("a listener that comes back is told what it missed, or that it did", () => {
  const hub = new EventHub();
  const ids: number[] = [];
  hub.subscribe(({ id }) => ids.push(id));
  for (let n = 0; n < EVENTS_KEPT + 5; n += 1) hub.publish({ type: "vm-gone", name: `vm-${n}` });
  const from = (id: number): string[] => {
    const keys: string[] = [];
    hub.subscribe(({ key }) => keys.push(key), id)();
    return keys;
  };
  const newest = ids.at(-1) ?? 0;
  expect(from(newest)).toEqual([]);
  expect(from(newest - 2)).toEqual([`vm vm-${EVENTS_KEPT + 3}`, `vm vm-${EVENTS_KEPT + 4}`]);
  expect(from(ids[4] ?? 0)).toHaveLength(EVENTS_KEPT);
  // Too old, from the future, and no number at all.
  expect([from(ids[3] ?? 0), from(newest + 1), from(-1)]).toEqual([["missed"], ["missed"], ["missed"]]);
});
