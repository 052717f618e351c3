/** godwit doctor: what this host lacks, each with the one step that cures it. Changes nothing. */
import type { Command } from "commander";

import { ExitCode } from "../../std/errors.ts";
import type { Cli } from "../context.ts";
import { verb, withOutput, type OutputFlags } from "../options.ts";
import { printResult, renderTable } from "../output.ts";
import { CONFIG_FILE } from "./agent.ts";

interface Flags extends OutputFlags {
  readonly config: string;
}

export const doctorCommand = (cli: Cli): Command =>
  withOutput(verb("doctor", "", "godwit doctor"))
    .option("--config <file>", "the agent's configuration", CONFIG_FILE)
    .action(async (flags: Flags) => {
      const { examine } = await import("../../doctor/doctor.ts");
      const examined = await examine(flags.config);
      if (!examined.ok) cli.exitCode = ExitCode.blocked;
      await printResult(cli, flags.output, examined, () =>
        renderTable(
          ["CHECK", "VERDICT", "WHAT"],
          examined.findings.flatMap(({ check, severity, what, next }) => [
            [check, severity, what],
            ...(next === "" ? [] : [["", "", `→ ${next}`]]),
          ]),
        ),
      );
    });
