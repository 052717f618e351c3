/** Every verb, one line each. Loading a verb loads its own file and nothing else. */
import type { Command } from "commander";

import type { Cli } from "../context.ts";
import { printResult } from "../output.ts";
import { labCommand } from "../rooms.ts";

export interface Verb {
  readonly name: string;
  readonly summary: string;
  readonly hidden?: boolean;
  load(cli: Cli): Promise<Command>;
}

const v = (name: string, summary: string, load: Verb["load"]): Verb => ({ name, summary, load });

export const verbs: readonly Verb[] = [
  v("demo", "see a migration, start to end, on this machine", async (cli) =>
    (await import("./demo.ts")).demoCommand(cli),
  ),
  v("lab", "several hosts on this machine, to try things out", async (cli) =>
    (await labCommand()).labCommand((...result) => printResult(cli, ...result)),
  ),
  v("agent", "run this host's agent", async (cli) => (await import("./agent.ts")).agentCommand(cli)),
  v("host", "certificates for a host, and what its agent knows", async (cli) =>
    (await import("./host.ts")).hostCommand(cli),
  ),
  v("doctor", "what this host lacks, and the step that cures it", async (cli) =>
    (await import("./doctor.ts")).doctorCommand(cli),
  ),
  v("run", "start a VM from a machine spec", async (cli) => (await import("./run.ts")).runCommand(cli)),
  v("list", "the VMs of this host and its peers", async (cli) =>
    (await import("./list.ts")).listCommand(cli),
  ),
  v("stop", "end a VM", async (cli) => (await import("./stop.ts")).stopCommand(cli)),
  v("console", "speak to a VM's serial console", async (cli) =>
    (await import("./console.ts")).consoleCommand(cli),
  ),
  v("check", "every problem a migration would meet, before it starts", async (cli) =>
    (await import("./check.ts")).checkCommand(cli),
  ),
  v("migrate", "move a running VM to another host", async (cli) =>
    (await import("./migrate.ts")).migrateCommand(cli),
  ),
  v("status", "where each migration is", async (cli) => (await import("./status.ts")).statusCommand(cli)),
  v("watch", "follow a migration to its end", async (cli) => (await import("./watch.ts")).watchCommand(cli)),
  v("cancel", "cancel a migration", async (cli) => (await import("./cancel.ts")).cancelCommand(cli)),
  v("recover", "continue a broken fetch, or take back a VM its target has lost", async (cli) =>
    (await import("./recover.ts")).recoverCommand(cli),
  ),
  v("cleanup", "remove what ended or crashed migrations left behind", async (cli) =>
    (await import("./cleanup.ts")).cleanupCommand(cli),
  ),
  v("history", "the migrations of the past", async (cli) =>
    (await import("./history.ts")).historyCommand(cli),
  ),
  v("report", "all figures of one migration", async (cli) =>
    (await import("./report.ts")).reportCommand(cli),
  ),
  v("token", "who may ask this host's agent over HTTP, and what", async (cli) =>
    (await import("./token.ts")).tokenCommand(cli),
  ),
  v("audit", "every change and refusal at this host's agent", async (cli) =>
    (await import("./audit.ts")).auditCommand(cli),
  ),
  v("bench", "techniques, and ways to send, side by side", async (cli) =>
    (await import("./bench.ts")).benchCommand(cli),
  ),
  v("frames", "what is in a recorded migration stream", async (cli) =>
    (await import("./frames.ts")).framesCommand(cli),
  ),
  v("completion", "a script that completes commands in your shell", async (cli) =>
    (await import("./completion.ts")).completionCommand(cli),
  ),
  {
    name: "complete",
    summary: "answer the completion script",
    hidden: true,
    load: async (cli) => (await import("./completion.ts")).completeCommand(cli),
  },
];
