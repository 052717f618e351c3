/** godwit agent: this host's daemon, in the foreground. */
import type { Command } from "commander";

import type { Cli } from "../context.ts";
import { verb } from "../options.ts";
import { agentMain } from "../rooms.ts";

export const CONFIG_FILE = "/etc/godwit/agent.yaml";

export const agentCommand = (_cli: Cli): Command =>
  verb("agent", "", `godwit agent --config ${CONFIG_FILE}`)
    .option("--config <file>", "the agent's configuration", CONFIG_FILE)
    .action(async ({ config }: { config: string }) => {
      const { runAgent } = await agentMain();
      await runAgent(config);
    });
