/** godwit lab: several hosts on this machine, guests on them, and the proof that their observers can be believed. */
import { request } from "node:http";
import { Command } from "commander";
import { z } from "zod";

import type { CalibrationRow, InjectPause } from "../../lab/calibrate.ts";
import type { LabSummary } from "../../lab/lab.ts";
import type { LabState } from "../../lab/state.ts";
import { CodedError } from "../../std/errors.ts";
import { parseDuration, parseRate } from "../../std/units.ts";
import { verb as verbWithExample, withOutput } from "../options.ts";
import { type Format, renderTable, serialise } from "../output.ts";

/** Shows a result: the value itself, or the table made of it. */
export type Print = (format: Format, value: unknown, table: () => string | Promise<string>) => Promise<void>;

const printToStdout: Print = async (format, value, table) => {
  const text = format === "table" ? await table() : await serialise(format, value);
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
};

const DEFAULT_HOSTS = "a,b";
/** A pause and its answer; the longest pause is part of the waiting. */
const PAUSE_TIMEOUT_MS = 10_000;

interface Common {
  readonly output: Format;
  readonly name: string;
}

const verb = (name: string, summary: string, example: string): Command =>
  withOutput(verbWithExample(name, summary, example));

const withName = (command: Command): Command => command.option("--name <lab>", "which lab", "default");

export function labCommand(print: Print = printToStdout): Command {
  return new Command("lab")
    .description("several hosts on this machine, to try things out")
    .addCommand(upCommand(print))
    .addCommand(downCommand(print))
    .addCommand(listCommand(print))
    .addCommand(runCommand(print))
    .addCommand(stopCommand(print))
    .addCommand(calibrateCommand(print));
}

function upCommand(print: Print): Command {
  return withName(verb("up", "make hosts, each with its agent", "godwit lab up --hosts a,b --link 100Mbit/s"))
    .option("--hosts <names>", "names of the hosts, with commas", DEFAULT_HOSTS)
    .option("--link <rate>", "shape the migration network, each direction, for example 1Gbit/s")
    .option("--delay <time>", "delay between hosts, each way, for example 25ms")
    .action(async (flags: Common & { hosts: string; link?: string; delay?: string }) => {
      const { labUp } = await import("../../lab/lab.ts");
      const lab = await labUp({
        name: flags.name,
        hosts: flags.hosts.split(",").map((host) => host.trim()),
        linkBytesPerSecond: flags.link === undefined ? undefined : parseRate(flags.link),
        delayMs: flags.delay === undefined ? undefined : parseDuration(flags.delay),
      });
      await print(flags.output, lab, () => hostsTable(lab));
    });
}

async function hostsTable(lab: LabState): Promise<string> {
  const rows = lab.hosts.map((host) => [host.name, host.address, host.netns ?? "-", host.socket]);
  const table = await renderTable(["HOST", "ADDRESS", "NAMESPACE", "SOCKET"], rows);
  return `${table}\n\nLink: ${lab.link.note}`;
}

function downCommand(print: Print): Command {
  return withName(verb("down", "remove a lab, whatever is left of it", "godwit lab down"))
    .option("--all", "every lab of this user", false)
    .action(async (flags: Common & { all: boolean }) => {
      const { labDown } = await import("../../lab/lab.ts");
      const { labNames } = await import("../../lab/state.ts");
      const removed: string[] = [];
      for (const name of flags.all ? labNames() : [flags.name]) {
        removed.push(...(await labDown(name)).removed);
      }
      await print(flags.output, { removed }, () =>
        removed.length === 0 ? "There was nothing to remove." : `Removed:\n  ${removed.join("\n  ")}`,
      );
    });
}

function listCommand(print: Print): Command {
  return verb("list", "the labs there are", "godwit lab list").action(async (flags: { output: Format }) => {
    const { labList } = await import("../../lab/lab.ts");
    const labs = await labList();
    await print(flags.output, labs, () => labsTable(labs));
  });
}

const labsTable = (labs: readonly LabSummary[]): Promise<string> =>
  renderTable(
    ["NAME", "HOSTS", "AGENTS", "GUESTS", "LINK", "STATE"],
    labs.map((lab) => [
      lab.name,
      String(lab.hosts),
      String(lab.agentsRunning),
      String(lab.guests),
      lab.link,
      lab.state,
    ]),
    ["HOSTS", "AGENTS", "GUESTS"],
  );

function runCommand(print: Print): Command {
  const example = "godwit lab run db-1 --host a --workload redis";
  return withName(verb("run", "start a guest and watch it from now on", example))
    .argument("<vm>", "name of the VM")
    .option("--host <name>", "where it starts; the lab's first host if not said")
    .option("--workload <name>", "what it does: idle, writer or redis", "idle")
    .option("--param <key=value>", "a parameter of the workload; may be repeated", collect, {})
    .option("--memory <size>", "its memory, for example 512MiB")
    .option("--vcpus <count>", "its virtual CPUs")
    .action(
      async (
        vm: string,
        flags: Common & {
          host?: string;
          workload: string;
          param: Record<string, unknown>;
          memory?: string;
          vcpus?: string;
        },
      ) => {
        const { runGuest } = await import("../../lab/guests.ts");
        const { loadLab } = await import("../../lab/state.ts");
        const lab = loadLab(flags.name);
        const guest = await runGuest(lab, {
          name: vm,
          host: flags.host ?? lab.hosts[0]?.name ?? "",
          workload: flags.workload,
          params: flags.param,
          ...(flags.memory === undefined ? {} : { memory: flags.memory }),
          ...(flags.vcpus === undefined ? {} : { vcpus: wholeNumber("--vcpus", flags.vcpus) }),
        });
        await print(
          flags.output,
          guest,
          () => `${guest.name} answers at ${guest.address} on host ${guest.host}.`,
        );
      },
    );
}

function stopCommand(print: Print): Command {
  return withName(verb("stop", "end a guest and its observers, wherever it is now", "godwit lab stop db-1"))
    .argument("<vm>", "name of the VM")
    .action(async (vm: string, flags: Common) => {
      const { stopGuest } = await import("../../lab/guests.ts");
      const { loadLab } = await import("../../lab/state.ts");
      await stopGuest(loadLab(flags.name), vm);
      await print(flags.output, { stopped: vm }, () => `${vm} is ended.`);
    });
}

/** `key=value`; whole numbers become numbers, everything else stays text with its unit. */
function collect(text: string, before: Record<string, unknown>): Record<string, unknown> {
  const at = text.indexOf("=");
  if (at < 1) throw new CodedError("USAGE", { problem: `"${text}" is not of the form key=value.` });
  const value = text.slice(at + 1);
  return { ...before, [text.slice(0, at)]: /^\d+$/.test(value) ? Number(value) : value };
}

function wholeNumber(flag: string, text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) {
    throw new CodedError("USAGE", { problem: `${flag} takes a whole number, not "${text}".` });
  }
  return Number(text);
}

function calibrateCommand(print: Print): Command {
  const example = "godwit lab calibrate db-1 --repeats 20";
  return withName(verb("calibrate", "pause a guest for known times and compare what observers read", example))
    .argument("<vm>", "name of the VM")
    .option("--pauses <times>", "with commas", "1ms,5ms,10ms,50ms,200ms,1s")
    .option("--repeats <count>", "of each pause", "20")
    .action(async (vm: string, flags: Common & { pauses: string; repeats: string }) => {
      const { calibrate } = await import("../../lab/calibrate.ts");
      const { whereIs } = await import("../../lab/guests.ts");
      const { hostOf, loadLab } = await import("../../lab/state.ts");
      const lab = loadLab(flags.name);
      const host = await whereIs(lab, vm);
      if (host === null) throw new CodedError("VM_UNKNOWN", { vm, where: `lab ${lab.name}` });
      const { rows, readings } = await calibrate(lab, vm, {
        injectPause: pauseByAgent(hostOf(lab, host).socket, vm),
        pausesMs: flags.pauses.split(",").map(parseDuration),
        repeats: wholeNumber("--repeats", flags.repeats),
        onReading: (reading, done, of) => {
          process.stderr.write(`${done}/${of}: ${reading.injectedMs} ms\n`);
        },
      });
      await print(flags.output, { rows, readings }, () => calibrationTable(rows));
    });
}

const calibrationTable = (rows: readonly CalibrationRow[]): Promise<string> => {
  const ms = (value: number | null): string => (value === null ? "-" : value.toFixed(2));
  return renderTable(
    ["PAUSE ms", "OBSERVER", "READ", "MEDIAN ms", "ERROR median", "min", "max"],
    rows.map((row) => [
      String(row.injectedMs),
      row.observer,
      `${row.readings}/${row.of}`,
      ms(row.medianMs),
      ms(row.medianErrorMs),
      ms(row.minErrorMs),
      ms(row.maxErrorMs),
    ]),
    ["PAUSE ms", "READ", "MEDIAN ms", "ERROR median", "min", "max"],
  );
};

const nanoseconds = z.string().regex(/^\d{1,20}$/);
const pauseAnswer = z.object({ pausedAtNs: nanoseconds, resumedAtNs: nanoseconds });

/** The agent holds the only monitor connection, so it is the agent that pauses. */
const pauseByAgent =
  (socketPath: string, vm: string): InjectPause =>
  async (ms) => {
    const answer = pauseAnswer.parse(
      await post(socketPath, `/vms/${vm}/pause`, { ms }, ms + PAUSE_TIMEOUT_MS),
    );
    return { pausedAtNs: BigInt(answer.pausedAtNs), resumedAtNs: BigInt(answer.resumedAtNs) };
  };

function post(socketPath: string, path: string, body: unknown, timeoutMs: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        socketPath,
        path,
        method: "POST",
        headers: { "content-type": "application/json" },
        timeout: timeoutMs,
      },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8");
        answer.on("data", (piece: string) => (text += piece));
        answer.on("end", () => {
          if (answer.statusCode === 200) resolve(JSON.parse(text));
          else reject(new CodedError("TOOL_FAILED", { command: `POST ${path}`, why: text }));
        });
      },
    );
    asked.on("timeout", () => asked.destroy(new Error("no answer")));
    asked.on("error", (cause) =>
      reject(new CodedError("AGENT_UNREACHABLE", { socket: socketPath }, { cause })),
    );
    asked.end(JSON.stringify(body));
  });
}
