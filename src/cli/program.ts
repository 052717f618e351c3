/**
 * The program: every verb by name, and loaded those that are needed. Apart from main.ts, because the completion verb
 * needs it while main.ts is still being evaluated.
 */
import { Command } from "commander";

import { verbs, type Verb } from "./commands/index.ts";
import type { Cli } from "./context.ts";

export const VERSION = "0.1.0";
const EXAMPLE = "\nExample:\n  $ godwit lab up\n  $ godwit list\n  $ godwit migrate db-1 --to b";

/** The program with every verb named, and those that are needed loaded. */
export async function buildProgram(
  cli: Cli,
  needed: (verb: Verb) => boolean,
  offered: readonly Verb[] = verbs,
): Promise<Command> {
  const program = new Command("godwit")
    .description("Live migration of virtual machines for stock QEMU/KVM.")
    .version(VERSION, "-V, --version", "print the version")
    .option("--no-color", "no colour; NO_COLOR in the environment does the same")
    .addHelpText("after", EXAMPLE);
  for (const verb of offered) {
    const command = needed(verb) ? await verb.load(cli) : new Command(verb.name);
    // One text for a verb, in the list and in its own help.
    program.addCommand(command.description(verb.summary), { hidden: verb.hidden === true });
  }
  configure(program, cli);
  return program;
}

/** Settings are not inherited by commands made elsewhere. */
function configure(command: Command, cli: Cli): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => cli.stdout.write(text),
    // Refusals are shown in one place, by main.ts; what commander writes by itself is said there again.
    writeErr: () => undefined,
    getOutHelpWidth: () => cli.stdout.columns ?? 100,
    getErrHelpWidth: () => cli.stderr.columns ?? 100,
  });
  for (const sub of command.commands) configure(sub, cli);
}
