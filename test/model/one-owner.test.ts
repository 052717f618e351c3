/**
 * Walks every interleaving of source, target, both QEMUs, lost messages, crashes, restarts and cancels (up to the state
 * space's natural end) and checks the one rule that matters: the guest never runs on two hosts, and never again at the
 * source after it ran at the target. The two step functions are the product's own; only the world around is modelled.
 */
import { describe, expect, test } from "vitest";

import { migrateSettings } from "../../src/api/migration.ts";
import { step } from "../../src/migration/source.ts";
import type { Found, Job, Source, SourceEffect, SourceEvent } from "../../src/migration/source-types.ts";
import { stepTarget, type Target, type TargetEvent } from "../../src/migration/target.ts";
import type { Technique } from "../../src/migration/types.ts";

type SourceQemu =
  | "running"
  | "copying"
  | "stopped"
  | "completed"
  | "fetching"
  | "fetched"
  | "paused"
  | "gone";
type TargetQemu = "none" | "waiting" | "loaded" | "running" | "gone";

interface World {
  s: Source;
  t: Target;
  sq: SourceQemu;
  tq: TargetQemu;
  /** The target's agent has seen that its QEMU is loaded. */
  tSeen: boolean;
  todoS: string[];
  todoT: string[];
  /** Questions on the wire, and the target's answers on their way back (as the phase they tell). */
  offer: boolean;
  void: boolean;
  answers: string[];
  ranAtTarget: boolean;
  /** Run commands QEMU has not read yet: of the target's agent, and of the one before its restart. */
  run: boolean;
  runBefore: boolean;
  cancels: number;
  restarts: number;
  kills: number;
}

const technique = (fetchAtOnce: boolean): Technique => ({
  name: fetchAtOnce ? "post-copy" : "pre-copy",
  summary: "",
  needs: [],
  opening: () => ({ pauseFirst: false, fetchAtOnce, downtimeLimitMs: 300 }),
  decide: (_view, _settings, memory) => ({ decision: { do: "continue" }, memory }),
});

const SIMPLE = new Set([
  "prepare-target",
  "start-copy",
  "start-fetch",
  "resume-guest",
  "cancel-copy",
  "unwind-fetch",
  "offer",
  "wait-to-offer",
  "confirm-running",
  "void-target",
  "fence-source",
  "hold-guest",
  "release-source",
  "recover-fetch",
]);

/** QMP commands go one after the other, in the order they were decided. */
const IN_ORDER = new Set(["start-copy", "start-fetch", "resume-guest", "cancel-copy", "unwind-fetch"]);

function explore(
  fetchAtOnce: boolean,
  limits: { cancels: number; restarts: number; kills: number },
): { worlds: number; ends: Map<string, number> } {
  const job: Job = {
    settings: migrateSettings.parse({ technique: fetchAtOnce ? "post-copy" : "pre-copy" }),
    technique: technique(fetchAtOnce),
  };
  const ends = new Map<string, number>();

  const toSource = (world: World, event: SourceEvent): World => {
    const { state, effects } = step(world.s, event, job);
    // The retry counter only bounds patience; folding it keeps the walk finite and small.
    const s =
      state.phase === "handing-over"
        ? { ...state, undelivered: Math.max(state.undelivered, 18) }
        : state.phase === "fetch-paused"
          ? { ...state, attempts: 1, why: "" }
          : state;
    const wanted = effects.map((effect: SourceEffect) => effect.do).filter((each) => SIMPLE.has(each));
    return { ...world, s, todoS: [...new Set([...world.todoS, ...wanted])] };
  };
  const toTarget = (world: World, event: TargetEvent): World => {
    const { state, effects } = stepTarget(world.t, event);
    const wanted = effects.map((effect) => effect.do).filter((each) => each !== "adopt-vm");
    return { ...world, t: state, todoT: [...new Set([...world.todoT, ...wanted])] };
  };
  const without = (list: string[], item: string): string[] => list.filter((each) => each !== item);

  function* next(world: World): Generator<World> {
    const { sq, tq } = world;
    // ---- the source's agent acts
    const firstInOrder = world.todoS.find((each) => IN_ORDER.has(each));
    for (const todo of world.todoS) {
      if (IN_ORDER.has(todo) && todo !== firstInOrder) continue;
      const rest = { ...world, todoS: without(world.todoS, todo) };
      switch (todo) {
        case "prepare-target":
          yield toSource(toTarget({ ...rest, tq: "waiting" }, { type: "listening" }), {
            type: "target-ready",
            nowMs: 0,
          });
          yield toSource(rest, { type: "prepare-failed", code: "X", why: "" });
          break;
        case "start-copy":
          yield { ...rest, sq: sq === "running" ? "copying" : sq };
          break;
        case "start-fetch":
          yield sq === "copying" ? toSource({ ...rest, sq: "stopped" }, { type: "guest-paused" }) : rest;
          break;
        case "cancel-copy":
          if (sq === "copying" || sq === "stopped")
            yield toSource(toSource({ ...rest, sq: "running" }, { type: "guest-running" }), {
              type: "copy-ended",
              why: "",
            });
          else if (sq === "completed") yield toSource(rest, { type: "copy-completed" });
          else if (sq === "fetching" || sq === "fetched")
            yield toSource({ ...rest, sq: "paused" }, { type: "copy-ended", why: "" });
          else yield toSource(rest, { type: "copy-ended", why: "" });
          break;
        case "unwind-fetch":
          yield sq === "gone"
            ? rest
            : toSource(
                { ...rest, sq: sq === "running" ? "running" : "paused" },
                { type: "copy-ended", why: "" },
              );
          // QEMU 7.2 may wait for ever for an end that is gone.
          if (world.kills > 0 && tq === "gone" && sq === "fetching")
            yield toSource(rest, { type: "unwind-failed", why: "" });
          break;
        case "resume-guest":
          if (sq === "gone") yield rest;
          else yield toSource({ ...rest, sq: "running" }, { type: "guest-running" });
          break;
        case "fence-source":
        case "release-source":
          yield sq === "gone" ? rest : toSource({ ...rest, sq: "gone" }, { type: "source-lost", why: "" });
          break;
        case "offer":
          yield { ...rest, offer: true };
          yield toSource(rest, { type: "offer-undelivered", why: "" });
          break;
        case "hold-guest":
          yield sq === "running" ? { ...rest, sq: "paused" } : rest;
          break;
        case "wait-to-offer":
          yield toSource(rest, { type: "offer-due" });
          break;
        case "void-target":
          yield { ...rest, void: true };
          break;
        case "confirm-running":
          yield {
            ...rest,
            answers: [...new Set([...rest.answers, world.t.phase])],
            todoS: world.s.phase === "handed-over" ? world.todoS : rest.todoS,
          };
          break;
        default:
          yield rest;
      }
    }
    // ---- messages
    if (world.offer) {
      const arrived = toTarget({ ...world, offer: false }, { type: "hand-over" });
      yield { ...arrived, answers: [...new Set([...arrived.answers, arrived.t.phase])] };
      yield toSource(arrived, { type: "offer-unanswered", why: "" }); // the answer was lost
      if (world.s.phase === "handing-over" && world.s.doubt !== "arrived")
        yield toSource(world, { type: "offer-unanswered", why: "" }); // it is only late
    }
    if (world.void) {
      const arrived = toTarget({ ...world, void: false }, { type: "void", why: "" });
      yield { ...arrived, answers: [...new Set([...arrived.answers, arrived.t.phase])] };
    }
    for (const answer of world.answers) {
      const rest = { ...world, answers: without(world.answers, answer) };
      if (answer === "running") yield toSource(rest, { type: "target-running" });
      else if (answer === "done") yield toSource(rest, { type: "target-done" });
      else if (answer === "accepted") yield toSource(rest, { type: "target-accepted" });
      else if (answer === "void") yield toSource(rest, { type: "target-void", why: "" });
      else if (answer === "lost") yield toSource(rest, { type: "target-lost", why: "" });
      else if (world.s.phase === "handing-over")
        yield toSource(rest, { type: "offer-unanswered", why: "", incomplete: true });
      else yield rest;
    }
    // ---- the target's agent acts
    for (const todo of world.todoT) {
      const rest = { ...world, todoT: without(world.todoT, todo) };
      if (todo === "kill-qemu") yield { ...rest, tq: "gone" };
      if (todo === "run-guest") {
        const sent = toTarget(rest, { type: "run-sent" });
        yield tq === "gone" ? toTarget(sent, { type: "run-refused", why: "" }) : { ...sent, run: true };
      }
    }
    // ---- the target's QEMU reads a run command, and obeys or refuses it
    for (const which of ["run", "runBefore"] as const) {
      if (!world[which] || tq === "none" || tq === "waiting") continue;
      const read = { ...world, [which]: false };
      if (tq !== "loaded") yield read;
      else {
        yield toTarget({ ...read, tq: "running", ranAtTarget: true }, { type: "guest-running" });
        if (world.kills === limits.kills) continue;
        const refused = { ...read, kills: world.kills + 1 };
        // Nobody hears what the agent before was answered.
        yield which === "run" ? toTarget(refused, { type: "run-refused", why: "" }) : refused;
      }
    }
    if (tq === "loaded" && !world.tSeen) yield toTarget({ ...world, tSeen: true }, { type: "loaded" });
    if (tq === "running" && (sq === "fetched" || !fetchAtOnce)) yield toTarget(world, { type: "complete" });
    // ---- the QEMUs
    if (sq === "copying" && !fetchAtOnce)
      yield toSource({ ...world, sq: "stopped" }, { type: "guest-paused" });
    if (sq === "stopped" && tq === "waiting") {
      if (fetchAtOnce) {
        yield toSource({ ...world, sq: "fetching", tq: "loaded" }, { type: "fetch-started" });
        yield toSource({ ...world, sq: "fetching" }, { type: "fetch-started" });
      } else {
        yield toSource({ ...world, sq: "completed", tq: "loaded" }, { type: "copy-completed" });
        // Everything was loaded, but the last word of the return path was lost: QEMU resumes the guest by itself.
        yield toSource(toSource({ ...world, sq: "running", tq: "loaded" }, { type: "guest-running" }), {
          type: "copy-ended",
          why: "",
        });
      }
    }
    if (sq === "fetching" && tq === "waiting") yield { ...world, tq: "loaded" };
    if (sq === "fetching" && tq === "running")
      yield toSource({ ...world, sq: "fetched" }, { type: "copy-completed" });
    if (sq === "copying" || (sq === "stopped" && !fetchAtOnce)) {
      yield toSource(toSource({ ...world, sq: "running" }, { type: "guest-running" }), {
        type: "copy-ended",
        why: "",
      });
    }
    // QEMU 10.0: a broken post-copy restarts the guest at the source, whatever the target does. Holding or fencing it
    // comes a moment later; that moment is QEMU's, so the walk grants it and lets the answer take effect at once.
    if (sq === "fetching") {
      const answered = toSource(world, { type: "guest-running" });
      if (answered.todoS.includes("fence-source"))
        yield toSource({ ...answered, sq: "gone" }, { type: "source-lost", why: "" });
      else if (answered.todoS.includes("hold-guest"))
        yield { ...answered, sq: "paused", todoS: without(answered.todoS, "hold-guest") };
      else yield toSource({ ...answered, sq: "running" }, { type: "copy-ended", why: "" });
    }
    // ---- people and accidents
    if (
      world.cancels < limits.cancels &&
      ["preparing", "copying", "switching", "handing-over"].includes(world.s.phase)
    ) {
      yield toSource({ ...world, cancels: world.cancels + 1 }, { type: "cancel", nowMs: 0 });
    }
    if (world.kills < limits.kills) {
      const killed = { ...world, kills: world.kills + 1 };
      if (sq !== "gone") yield toSource({ ...killed, sq: "gone" }, { type: "source-lost", why: "" });
      if (tq !== "gone" && tq !== "none") {
        const left = { ...killed, tq: "gone" as const, run: false, runBefore: false };
        yield toTarget(left, world.run ? { type: "run-refused", why: "" } : { type: "qemu-lost", why: "" });
      }
    }
    if (world.restarts < limits.restarts) {
      const again = { ...world, restarts: world.restarts + 1 };
      const copy = (
        {
          running: "none",
          copying: "active",
          stopped: "active",
          completed: "completed",
          fetching: "fetching",
          fetched: "completed",
          paused: "ended",
        } as const
      )[sq as Exclude<SourceQemu, "gone">];
      const found: Found =
        sq === "gone"
          ? { qemu: "gone" }
          : { qemu: "alive", guestRuns: sq === "running" || sq === "copying", copy };
      yield toSource({ ...again, todoS: [], answers: [] }, { type: "restarted", found });
      const forgotten: Target = world.t.phase === "accepted" ? { phase: "accepted", sent: "none" } : world.t;
      yield toTarget(
        {
          ...again,
          t: forgotten,
          todoT: [],
          tSeen: tq === "loaded",
          run: false,
          runBefore: world.run || world.runBefore,
        },
        { type: "restarted", found: tq === "none" ? "gone" : tq },
      );
    }
  }

  const first: World = {
    s: { phase: "preparing" },
    t: { phase: "preparing" },
    sq: "running",
    tq: "none",
    tSeen: false,
    todoS: ["prepare-target"],
    todoT: [],
    offer: false,
    void: false,
    answers: [],
    ranAtTarget: false,
    run: false,
    runBefore: false,
    cancels: 0,
    restarts: 0,
    kills: 0,
  };
  const key = (world: World): string =>
    JSON.stringify([{ ...world, todoT: world.todoT.toSorted(), answers: world.answers.toSorted() }]);
  const seen = new Set([key(first)]);
  const open: World[] = [first];
  for (let world = open.pop(); world !== undefined; world = open.pop()) {
    const runsAtSource = world.sq === "running" || world.sq === "copying";
    if (runsAtSource && world.tq === "running") throw new Error(`two guests run: ${JSON.stringify(world)}`);
    if (runsAtSource && world.ranAtTarget)
      throw new Error(`the source runs what the target ran before: ${JSON.stringify(world)}`);
    let moved = false;
    for (const after of next(world)) {
      moved = true;
      const name = key(after);
      if (seen.has(name)) continue;
      seen.add(name);
      open.push(after);
    }
    if (!moved) {
      const end = `${world.s.phase}/${world.t.phase}: source ${world.sq}, target ${world.tq}`;
      ends.set(end, (ends.get(end) ?? 0) + 1);
    }
  }
  return { worlds: seen.size, ends };
}

describe("one owner", () => {
  for (const fetchAtOnce of [false, true]) {
    const name = fetchAtOnce ? "post-copy" : "pre-copy";
    test(`${name}: the guest never runs on two hosts, whatever is lost, cancelled or restarted`, () => {
      const { worlds } = explore(fetchAtOnce, { cancels: 1, restarts: 2, kills: 0 });
      expect(worlds).toBeGreaterThan(100);
    });
    test(`${name}: the guest never runs on two hosts, whatever is killed`, () => {
      const { worlds } = explore(fetchAtOnce, { cancels: 1, restarts: 1, kills: 1 });
      expect(worlds).toBeGreaterThan(100);
    });
    test(`${name}: without accidents every walk ends with exactly one guest running`, () => {
      const { ends } = explore(fetchAtOnce, { cancels: 1, restarts: 0, kills: 0 });
      for (const end of ends.keys()) {
        const running = Number(end.includes("source running")) + Number(end.includes("target running"));
        expect(running, end).toBe(1);
      }
      expect(ends.size).toBeGreaterThan(0);
    });
  }
});
