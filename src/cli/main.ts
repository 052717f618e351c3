/**
 * The command line's way in: finds the verb, loads only that, runs it, and turns whatever was thrown into a refusal
 * with an exit code. Verbs are in commands/, one file each, listed in commands/index.ts.
 */
import { CommanderError } from "commander";

import { CodedError, ExitCode } from "../std/errors.ts";
import { verbs } from "./commands/index.ts";
import { Cli, processParts, type CliParts } from "./context.ts";
import { FORMATS, type Format } from "./output.ts";
import { showRefusal } from "./problems.ts";
import { buildProgram } from "./program.ts";

/** Runs one command line (without node and script) and answers the exit code. Never throws. */
export async function main(argv: readonly string[], parts: CliParts = processParts): Promise<number> {
  const cli = new Cli(parts, argv.includes("--no-color"));
  try {
    const program = await buildProgram(cli, (verb) => argv.includes(verb.name));
    if (argv.length === 0) {
      cli.say(program.helpInformation().trimEnd());
      return ExitCode.usage;
    }
    await program.parseAsync([...argv], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return ExitCode.done;
    await showRefusal(cli, asRefusal(error, argv), formatIn(argv));
  }
  return cli.exitCode;
}

function asRefusal(error: unknown, argv: readonly string[]): unknown {
  if (!(error instanceof CommanderError)) return error;
  const verb = verbs.find((one) => argv.includes(one.name))?.name;
  const asked = verb === undefined ? "godwit --help" : `godwit ${verb} --help`;
  const problem =
    error.code === "commander.help"
      ? `${verb === undefined ? "A verb" : `A part of ${verb}`} is missing.`
      : error.message.replace(/^error: /, "");
  return new CodedError("USAGE", { problem, next: `${asked} shows an example that works.` });
}

/** How to show a refusal, also when the command line itself could not be understood. */
function formatIn(argv: readonly string[]): Format {
  for (const [index, word] of argv.entries()) {
    const value =
      /^(?:--output=|-o=?)(.+)$/.exec(word)?.[1] ?? (/^(-o|--output)$/.test(word) ? argv[index + 1] : "");
    const format = FORMATS.find((one) => one === value);
    if (format !== undefined) return format;
  }
  return "table";
}

if (import.meta.main) {
  // `godwit list | head` closes our stdout: that is no fault.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(ExitCode.done);
  });
  process.exitCode = await main(process.argv.slice(2));
}
