/** A migration as clients see it, from either side's record. */
import type { MigrationView, Outcome, Progress } from "../api/migration.ts";
import type { MigrationRecord } from "./store.ts";

type Of<S extends "source" | "target"> = Extract<MigrationRecord, { side: S }>;

export function sourceMigrationView(
  record: Of<"source">,
  host: string,
  finished: boolean,
  progress?: Progress,
): MigrationView {
  const { state } = record;
  const ending = sourceEnding(record);
  return {
    id: record.id,
    vm: record.vm,
    source: host,
    target: record.peer,
    technique: record.settings.technique,
    side: "source",
    ...wayOf(record),
    phase: state.phase,
    startedAt: record.startedAt,
    ...(finished && ending !== undefined
      ? {
          outcome: ending.outcome,
          reason: ending.reason,
          ...(ending.code === null ? {} : { code: ending.code }),
        }
      : {}),
    ...(progress === undefined ? {} : { progress }),
  };
}

/** How it ended, or what it waits for. */
export function sourceEnding(
  record: Of<"source">,
): { outcome: Outcome; code: string | null; reason: string } | undefined {
  const { state } = record;
  switch (state.phase) {
    case "done":
      return { outcome: "done", code: null, reason: `${record.vm} runs on ${record.peer}` };
    case "aborted":
      return { outcome: state.outcome, code: state.code, reason: state.reason };
    case "needs-person":
      return { outcome: "needs-person", code: "NEEDS_PERSON", reason: state.reason };
    default:
      return undefined;
  }
}

const wayOf = ({ wire }: MigrationRecord): Pick<MigrationView, "path" | "pathReason"> =>
  wire === undefined
    ? {}
    : { path: wire.plan.path, ...(wire.reason === "" ? {} : { pathReason: wire.reason }) };

/** How a list is filtered: what has no ending is active. */
export function outcomeOf(record: MigrationRecord): Outcome | "active" {
  const ending =
    record.side === "source"
      ? sourceEnding(record)?.outcome
      : targetMigrationView(record, record.peer).outcome;
  return ending ?? "active";
}

export function targetMigrationView(record: Of<"target">, host: string): MigrationView {
  const { state } = record;
  const phase = (
    {
      preparing: "preparing",
      receiving: "copying",
      loaded: "switching",
      accepted: "handed-over",
      running: "fetching",
      done: "done",
      void: "aborted",
      lost: "needs-person",
    } as const
  )[state.phase];
  const ending: Partial<MigrationView> =
    state.phase === "done"
      ? { outcome: "done", reason: `${record.vm} runs on ${host}` }
      : state.phase === "void"
        ? { outcome: "failed", code: "TARGET_VOID", reason: state.why }
        : state.phase === "lost"
          ? { outcome: "needs-person", code: "VM_LOST", reason: state.why }
          : {};
  return {
    id: record.id,
    vm: record.vm,
    source: record.peer,
    target: host,
    technique: record.settings.technique,
    side: "target",
    ...wayOf(record),
    phase,
    startedAt: record.startedAt,
    ...ending,
  };
}
