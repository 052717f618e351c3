/**
 * Stories of a migration as its source lives them: events in, phases and effects out, one readable file each.
 * UPDATE=1 rewrites them; read the difference before committing it.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { migrateSettings, type TechniqueName } from "../../src/api/migration.ts";
import { step } from "../../src/migration/source.ts";
import type { Source, SourceEvent } from "../../src/migration/source-types.ts";
import { techniques } from "../../src/migration/techniques/index.ts";

const ready = { type: "target-ready", nowMs: 0 } as const;
const cancel = { type: "cancel", nowMs: 0 } as const;
const paused = { type: "guest-paused" } as const;
const running = { type: "guest-running" } as const;
const completed = { type: "copy-completed" } as const;
const fetching = { type: "fetch-started" } as const;
const accepted = { type: "target-accepted" } as const;
const targetRuns = { type: "target-running" } as const;
const ended = { type: "copy-ended", why: "cancelled" } as const;
const undelivered = { type: "offer-undelivered", why: "connection refused" } as const;
const unanswered = { type: "offer-unanswered", why: "no answer within 6 s" } as const;
const due = { type: "offer-due" } as const;
const gone = { type: "restarted", found: { qemu: "gone" } } as const;
const found = (
  copy: "none" | "active" | "completed" | "ended" | "fetching" | "fetch-broken",
  guestRuns: boolean,
) => ({ type: "restarted", found: { qemu: "alive", guestRuns, copy } }) as const;

const stories: Record<string, { technique: TechniqueName; events: readonly SourceEvent[] }> = {
  "pre-copy-to-the-end": { technique: "pre-copy", events: [ready, paused, completed, targetRuns] },
  "stop-and-copy-to-the-end": {
    technique: "stop-and-copy",
    events: [ready, paused, completed, accepted, targetRuns],
  },
  "post-copy-to-the-end": {
    technique: "post-copy",
    events: [ready, paused, fetching, targetRuns, completed],
  },
  "cancel-while-preparing": { technique: "pre-copy", events: [cancel] },
  "cancel-while-copying": { technique: "pre-copy", events: [ready, cancel, running, ended] },
  "cancel-after-pause": { technique: "pre-copy", events: [ready, paused, cancel, running, ended] },
  "cancel-comes-too-late-for-the-copy": {
    technique: "pre-copy",
    events: [ready, paused, cancel, completed, running],
  },
  "cancel-while-the-offer-is-under-way": {
    technique: "pre-copy",
    events: [
      ready,
      paused,
      completed,
      cancel,
      { type: "target-void", why: "the source gave the migration up" },
      running,
    ],
  },
  "cancel-after-hand-over-changes-nothing": {
    technique: "pre-copy",
    events: [ready, paused, completed, accepted, cancel, targetRuns],
  },
  "cancel-crosses-the-switch-to-post-copy": {
    technique: "hybrid",
    events: [ready, cancel, paused, fetching, ended, running],
  },
  "the-target-cannot-be-prepared": {
    technique: "pre-copy",
    events: [{ type: "prepare-failed", code: "VM_EXISTS", why: "host b has a VM of that name" }],
  },
  "the-copy-fails": {
    technique: "pre-copy",
    events: [ready, paused, { type: "copy-ended", why: "Connection reset" }, running],
  },
  "the-target-is-void": {
    technique: "pre-copy",
    events: [ready, paused, completed, { type: "target-void", why: "its QEMU ended" }, running],
  },
  "the-offer-never-arrives": {
    technique: "pre-copy",
    events: [
      ready,
      paused,
      completed,
      ...Array.from({ length: 20 }, () => [undelivered, due] as const).flat(),
      running,
    ],
  },
  "the-answer-is-lost": {
    technique: "pre-copy",
    events: [ready, paused, completed, unanswered, due, undelivered, due, targetRuns],
  },
  "qemu-dies-at-the-source-after-everything-was-sent": {
    technique: "pre-copy",
    events: [ready, paused, { type: "source-lost", why: "killed" }, targetRuns],
  },
  "qemu-dies-at-the-source-while-copying": {
    technique: "pre-copy",
    events: [
      ready,
      { type: "source-lost", why: "killed" },
      unanswered,
      due,
      { type: "target-void", why: "its QEMU ended" },
    ],
  },
  "the-target-loses-what-it-accepted": {
    technique: "pre-copy",
    events: [
      ready,
      paused,
      completed,
      accepted,
      { type: "target-lost", why: "killed" },
      { type: "take-back" },
      running,
    ],
  },
  "the-target-cannot-run-what-it-accepted": {
    technique: "pre-copy",
    events: [
      ready,
      paused,
      completed,
      accepted,
      { type: "target-void", why: "QEMU refused cont: a disk is locked" },
      running,
    ],
  },
  "the-fetch-cannot-be-undone": {
    technique: "post-copy",
    events: [
      ready,
      paused,
      fetching,
      accepted,
      { type: "target-void", why: "QEMU ended before it had read the command to run" },
      { type: "unwind-failed", why: "it stays postcopy-active" },
      { type: "recover" },
      { type: "target-void", why: "QEMU ended before it had read the command to run" },
    ],
  },
  "both-lose-the-guest": {
    technique: "pre-copy",
    events: [
      ready,
      paused,
      completed,
      accepted,
      { type: "source-lost", why: "killed" },
      { type: "target-lost", why: "killed" },
    ],
  },
  "the-source-is-lost-while-a-person-decides": {
    technique: "pre-copy",
    events: [
      ready,
      paused,
      completed,
      accepted,
      { type: "target-lost", why: "killed" },
      { type: "source-lost", why: "killed too" },
    ],
  },
  "the-link-breaks-while-fetching": {
    technique: "post-copy",
    events: [
      ready,
      paused,
      fetching,
      targetRuns,
      { type: "fetch-broken", why: "reset" },
      { type: "recover-failed", why: "unreachable" },
      { type: "fetch-resumed" },
      completed,
    ],
  },
  "qemu-10-restarts-the-guest-while-fetching": {
    technique: "post-copy",
    events: [ready, paused, fetching, targetRuns, running],
  },
  "qemu-10-restarts-the-guest-before-the-answer": {
    technique: "post-copy",
    events: [
      ready,
      paused,
      fetching,
      running,
      { type: "target-void", why: "its QEMU ended" },
      ended,
      running,
    ],
  },
  "the-agent-restarts-while-copying": {
    technique: "pre-copy",
    events: [ready, found("active", true), paused, completed, targetRuns],
  },
  "the-agent-restarts-and-copying-is-over": {
    technique: "pre-copy",
    events: [ready, found("completed", false), targetRuns],
  },
  "the-agent-restarts-with-an-offer-under-way": {
    technique: "pre-copy",
    events: [ready, paused, completed, found("completed", false), targetRuns],
  },
  "the-agent-restarts-after-hand-over": {
    technique: "pre-copy",
    events: [ready, paused, completed, accepted, gone, targetRuns],
  },
  "the-agent-restarts-while-fetching": {
    technique: "post-copy",
    events: [
      ready,
      paused,
      fetching,
      targetRuns,
      found("fetch-broken", false),
      targetRuns,
      { type: "fetch-resumed" },
      completed,
    ],
  },
};

function tell(technique: TechniqueName, events: readonly SourceEvent[]): string {
  const job = { settings: migrateSettings.parse({ technique }), technique: techniques[technique] };
  let state: Source = { phase: "preparing" };
  const lines: string[] = [technique, "", show(state)];
  for (const event of events) {
    const { state: next, effects } = step(state, event, job);
    lines.push(
      `  ← ${JSON.stringify(event)}`,
      ...effects.map((effect) => `  → ${JSON.stringify(effect)}`),
      show(next),
    );
    state = next;
  }
  return `${lines.join("\n")}\n`;
}

function show(state: Source): string {
  const { phase, ...rest } = state;
  const shown = Object.entries(rest).filter(([key]) => !["rounds", "memory", "startedAtMs"].includes(key));
  return `${phase}${shown.length === 0 ? "" : `  ${JSON.stringify(Object.fromEntries(shown))}`}`;
}

describe("the source's story", () => {
  const folder = new URL("./source/", import.meta.url);
  for (const [name, { technique, events }] of Object.entries(stories)) {
    test(name.replaceAll("-", " "), () => {
      const file = new URL(`${name}.txt`, folder);
      const told = tell(technique, events);
      if (process.env["UPDATE"] === "1") {
        mkdirSync(folder, { recursive: true });
        writeFileSync(file, told);
      }
      expect(told).toBe(readFileSync(file, "utf8"));
    });
  }
});
