/**
 * godwit demo: what godwit does, on this machine, in a few minutes. Two hosts joined by a shaped link, a Linux guest
 * with Redis, a client that writes all the while; three moves back and forth, each another technique, and one table.
 */
import { connectAgent } from "../../api/client.ts";
import { migrateRequest, type TechniqueName } from "../../api/migration.ts";
import type { Report } from "../../api/report.ts";
import type { LabState } from "../../lab/lab.ts";
import { CodedError, ExitCode } from "../../std/errors.ts";
import { parseRate } from "../../std/units.ts";
import type { Cli } from "../context.ts";
import { type OutputFlags, verb, withOutput } from "../options.ts";
import { printResult, renderTable } from "../output.ts";

import type { Command } from "commander";

interface Flags extends OutputFlags {
  readonly keep?: true;
  readonly web?: true;
  readonly link: string;
}

const LAB = "demo";
const VM = "redis";
const MOVES: readonly TechniqueName[] = ["pre-copy", "post-copy", "hybrid"];

export const demoCommand = (cli: Cli): Command =>
  withOutput(verb("demo", "", "godwit demo", "godwit demo -o json"))
    .option("--keep", "leave the lab up afterwards, to look around in (godwit lab down --name demo ends it)")
    .option("--link <rate>", "the rate of the link between the hosts", "200Mbit/s")
    .option("--web", "open the lab with the dashboard and move VMs by hand, until Ctrl-C")
    .action(async (flags: Flags) => {
      if (flags.web !== undefined) {
        const { refuseWithoutDashboard } = await import("./demo-web.ts");
        refuseWithoutDashboard();
        await withLab(cli, flags, async (lab, interrupted) => {
          const { serveDashboards } = await import("./demo-web.ts");
          const { openDoor } = await import("../../lab/door.ts");
          await serveDashboards(cli, lab.hosts, (host) => openDoor(lab, host), interrupted);
        });
        return;
      }
      const reports = await runMoves(cli, flags);
      const failed = reports.some(
        (each) => each.outcome !== "done" || each.correctness.verdict !== "verified",
      );
      cli.exitCode = failed ? ExitCode.postCheckFailed : ExitCode.done;
      await printResult(cli, flags.output, reports, () => table(reports));
    });

/** The demo's lab with its guest, from nothing to nothing. */
async function withLab<T>(
  cli: Cli,
  flags: Flags,
  act: (lab: LabState, interrupted: AbortSignal) => Promise<T>,
): Promise<T> {
  const { labUp, labDown, linkText } = await import("../../lab/lab.ts");
  const linkBytesPerSecond = parseRate(flags.link);
  await labDown(LAB); // what an interrupted demo left
  const interrupted = new AbortController();
  const stopListening = cli.onInterrupt(() => interrupted.abort());
  try {
    cli.say("Two hosts, a and b, on this machine …");
    const lab = await labUp({ name: LAB, hosts: ["a", "b"], linkBytesPerSecond });
    cli.say(`… joined by a link: ${linkText(lab.link)}.`);
    cli.say("A Linux guest with Redis boots on a; a client outside it writes 200 keys a second …");
    const { runGuest } = await import("../../lab/guests.ts");
    await runGuest(lab, { name: VM, host: "a", workload: "redis" });
    return await act(lab, interrupted.signal);
  } finally {
    stopListening();
    if (flags.keep === undefined) await labDown(LAB);
    else cli.say(`The lab stays up: godwit list --lab ${LAB}; godwit lab down --name ${LAB} ends it.`);
  }
}

const runMoves = (cli: Cli, flags: Flags): Promise<Report[]> =>
  withLab(cli, flags, async (lab, interrupted) => {
    await settle(interrupted);
    const reports: Report[] = [];
    let [here, there] = lab.hosts;
    for (const [index, technique] of MOVES.entries()) {
      if (here === undefined || there === undefined) break;
      cli.say(`\nMove ${index + 1} of ${MOVES.length}: ${technique}, ${here.name} → ${there.name}`);
      const report = await moveOnce(cli, here.socket, technique, there.name);
      if (interrupted.aborted) throw interruption();
      if (report === undefined) continue;
      reports.push(report);
      if (report.outcome === "done") [here, there] = [there, here];
    }
    cli.say("");
    return reports;
  });

const interruption = (): CodedError =>
  new CodedError("USAGE", { problem: "Interrupted.", next: "Nothing is left behind." });

/** Undefined: this machine cannot do that technique, and it was said why. */
async function moveOnce(
  cli: Cli,
  socket: string,
  technique: TechniqueName,
  target: string,
): Promise<Report | undefined> {
  const client = connectAgent(socket);
  const params = { name: VM };
  const body = migrateRequest.parse({ target, technique });
  const { findings } = await client.check({ params, body });
  const blockers = findings.filter((finding) => finding.severity === "blocker");
  for (const blocker of blockers) cli.say(`Not possible here: ${blocker.what} → ${blocker.next}`);
  if (blockers.length > 0) return undefined;

  const { followToEnd } = await import("../follow.ts");
  const { attachObservations } = await import("../observations.ts");
  const { endSentence } = await import("../result.ts");
  const view = await followToEnd(cli, client, () => client.migrate({ params, body }), "cancel");
  if (view === undefined) throw interruption();
  cli.say(endSentence(view));
  if (view.outcome !== "done") return client.report({ params: { id: view.id } });
  return attachObservations(cli, client, view.id);
}

/** Some seconds of undisturbed service to compare with. */
async function settle(signal: AbortSignal): Promise<void> {
  const { setTimeout: wait } = await import("node:timers/promises");
  await wait(8_000, undefined, { signal }).catch(() => undefined);
}

const ms = (value: number | null): string =>
  value === null ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
const MIB = 2 ** 20;

/** The table a newcomer sees first: what each technique cost, and that nothing was lost. */
async function table(reports: readonly Report[]): Promise<string> {
  const head = [
    "technique",
    "way",
    "moved",
    "downtime: host",
    "client",
    "guest",
    "disruption",
    "total",
    "bytes on the wire",
    "lost writes",
  ];
  const rows = reports.map(({ technique, path, source, target, metrics, correctness, outcome }) => [
    technique,
    path,
    outcome === "done" ? `${source} → ${target}` : outcome,
    ms(metrics.downtime_ms.vm),
    ms(metrics.downtime_ms.client),
    ms(metrics.downtime_ms.guest),
    ms(metrics.disruption_ms.sum),
    metrics.total_time_ms === null ? "–" : `${(metrics.total_time_ms / 1000).toFixed(1)} s`,
    metrics.bytes.wire_out === null
      ? "–"
      : `${((metrics.bytes.wire_out + (metrics.bytes.wire_in ?? 0)) / MIB).toFixed(1)} MiB`,
    correctness.lost_acknowledged_writes === null ? "–" : String(correctness.lost_acknowledged_writes),
  ]);
  const accelerator = reports[0]?.environment.accelerator.toUpperCase() ?? "";
  const link = reports[0]?.environment.link;
  const shaped =
    link?.shaped === true
      ? `a link of ${Math.round(((link.rate_bytes_per_second ?? 0) * 8) / 1e6)} Mbit/s`
      : "a link that was not shaped";
  return [
    await renderTable(head, rows, head.slice(3)),
    "",
    `A ${accelerator} guest over ${shaped}. Downtime as seen by the hosts (target runs − source paused), by a client`,
    "probing 1000 times a second, and by the guest's own clock. Disruption: time in which Redis was slower than usual.",
  ].join("\n");
}
