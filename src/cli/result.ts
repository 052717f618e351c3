/** What a migration's end means at the prompt: the sentence, the figures, the exit code. */
import type { GodwitClient } from "../api/client.ts";
import type { MigrationView } from "../api/migration.ts";
import type { Report } from "../api/report.ts";
import { CodedError, ExitCode, isErrorCode, toCodedError } from "../std/errors.ts";
import type { Cli } from "./context.ts";
import { attachObservations } from "./observations.ts";
import { plain, printResult, type Format } from "./output.ts";
import { metricLines } from "./report-view.ts";

/** No QEMU has the VM any more: neither host can go on with it. */
const isLost = (view: MigrationView): boolean => view.outcome === "failed" && view.code === "VM_LOST";

const EXITS = {
  done: ExitCode.done,
  failed: ExitCode.failed,
  cancelled: ExitCode.cancelled,
  "timed-out": ExitCode.timedOut,
  "needs-person": ExitCode.needsPerson,
} as const;

export function exitOf(view: MigrationView, report: Report | undefined): ExitCode {
  if (view.outcome === undefined) return ExitCode.interrupted;
  if (view.outcome === "done" && report?.correctness.verdict === "failed") return ExitCode.postCheckFailed;
  if (view.outcome === "failed" && view.code === "CHECK_FAILED") return ExitCode.blocked;
  if (isLost(view)) return ExitCode.needsPerson;
  return EXITS[view.outcome];
}

export function endSentence(view: MigrationView): string {
  const why = view.reason === undefined || view.reason === "" ? "" : ` ${view.reason}`;
  switch (view.outcome) {
    case "done":
      return `${view.vm} runs on ${view.target}.`;
    case "failed":
      if (isLost(view)) return `${view.vm} was not migrated, and it runs nowhere any more.${why}`;
      return `${view.vm} was not migrated and is still on ${view.source}.${why}`;
    case "cancelled":
      return `Cancelled: ${view.vm} stays on ${view.source}.${why}`;
    case "timed-out":
      return `Timed out: ${view.vm} stays on ${view.source}.${why}`;
    case "needs-person":
      return `${view.vm} needs a person.${why}`;
    default:
      return `${view.vm} is ${view.phase}.`;
  }
}

export function nextStep(view: MigrationView): string | undefined {
  if (view.outcome === "needs-person")
    return `godwit recover ${view.id} continues it, or takes it back; godwit stop ${view.vm} gives it up.`;
  if (isLost(view)) return "godwit cleanup removes what is left; godwit run starts it again from its disks.";
  if (view.outcome !== "failed" || view.code === undefined || !isErrorCode(view.code)) return undefined;
  // The details went to the report; a next step that needs none of them is worth repeating.
  const { next } = new CodedError(view.code);
  return next.includes("?") ? undefined : next;
}

/** Shows the end of a migration and sets the exit code. `left` is what followToEnd answers when it was left. */
export async function showEnd(
  cli: Cli,
  client: GodwitClient,
  view: MigrationView | undefined,
  format: Format,
): Promise<void> {
  if (view === undefined) {
    cli.exitCode = ExitCode.interrupted;
    return;
  }
  if (view.outcome === "done") await observed(cli, client, view.id);
  const report = await reportOf(cli, client, view);
  cli.exitCode = exitOf(view, report);
  const summary = (): string => {
    const lines = [plain(endSentence(view))];
    if (report !== undefined && view.outcome === "done") lines.push(...metricLines(report));
    const next = nextStep(view);
    if (next !== undefined) lines.push(`→ ${next}`);
    if (report !== undefined) lines.push(`godwit report ${view.id} shows everything.`);
    return lines.join("\n");
  };
  await printResult(cli, format, report ?? view, summary);
}

/** An observer that cannot be asked leaves its figures null; the migration is no less done. */
async function observed(cli: Cli, client: GodwitClient, id: string): Promise<void> {
  try {
    await attachObservations(cli, client, id);
  } catch (error) {
    cli.say(`The observers' figures are missing: ${plain(toCodedError(error).message)}`);
  }
}

async function reportOf(cli: Cli, client: GodwitClient, view: MigrationView): Promise<Report | undefined> {
  try {
    return await client.report({ params: { id: view.id } });
  } catch (error) {
    cli.say(`The report is missing: ${plain(toCodedError(error).message)}`);
    return undefined;
  }
}
