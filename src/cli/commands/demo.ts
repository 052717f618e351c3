/** godwit demo: hands over to the lab. */
import type { Command } from "commander";

import type { ExitCode } from "../../std/errors.ts";
import type { Cli } from "../context.ts";
import { verb } from "../options.ts";
import { labDemo } from "../rooms.ts";

export const demoCommand = (cli: Cli): Command =>
  verb("demo", "", "godwit demo")
    .option("--keep", "leave the lab up afterwards")
    .action(async (options: Readonly<Record<string, unknown>>) => {
      const { runDemo } = await labDemo();
      cli.exitCode = (await runDemo(options)) as ExitCode;
    });
