/** Files of the package that a host is set up from. */
import { join } from "node:path";

const DEPLOY = join(import.meta.dirname, "../../deploy");

export const packaged = {
  unit: join(DEPLOY, "systemd/godwit-agent.service"),
  exampleConfig: join(DEPLOY, "agent.example.yaml"),
} as const;
