/** godwit bench: hands over to the campaigns. */
import type { Command } from "commander";

import type { ExitCode } from "../../std/errors.ts";
import type { Cli } from "../context.ts";
import { verb, withOutput } from "../options.ts";
import { benchMain } from "../rooms.ts";

export const benchCommand = (cli: Cli): Command =>
  withOutput(verb("bench", "", "godwit bench")).action(async (options: Readonly<Record<string, unknown>>) => {
    const { runBench } = await benchMain();
    cli.exitCode = (await runBench(options)) as ExitCode;
  });
