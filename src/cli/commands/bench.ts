/** godwit bench: campaigns that put things side by side. Each bench is one file and one line here. */
import type { Command } from "commander";

import type { Cli } from "../context.ts";
import { verb } from "../options.ts";
import { benchTechniquesCommand } from "./bench-techniques.ts";
import { benchWireCommand } from "./bench-wire.ts";

const BENCHES: readonly ((cli: Cli) => Command)[] = [benchTechniquesCommand, benchWireCommand];

export function benchCommand(cli: Cli): Command {
  const command = verb("bench", "", "godwit bench techniques --workloads idle --runs 3");
  for (const bench of BENCHES) command.addCommand(bench(cli));
  return command;
}
