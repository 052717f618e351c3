/** An agent's configuration with all that it needs, in one folder. */
import { join } from "node:path";

import { type AgentConfig, agentConfig } from "../../src/agent/config.ts";

/** `more`: other keys, or other values, as they stand in its file. */
export const agentConfigIn = (dir: string, more: Readonly<Record<string, unknown>> = {}): AgentConfig =>
  agentConfig.parse({
    name: "a",
    stateDir: dir,
    socket: join(dir, "agent.sock"),
    listen: { address: "127.0.0.1" },
    tlsDir: dir,
    ...more,
  });
