/** The agent as a service of systemd: installed, and running. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";

import { packaged } from "../packaged.ts";
import { fine, warning, type Check, type Verdict } from "../types.ts";

export interface ServiceFacts {
  /** Whether systemd runs this host. */
  readonly systemd: boolean;
  /** As systemctl says: loaded, not-found, masked … */
  readonly load: string;
  /** active, inactive, failed … */
  readonly active: string;
  readonly unit: string;
}

const UNIT = "godwit-agent.service";
const TIMEOUT_MS = 5_000;
const run = promisify(execFile);

function judge({ systemd, load, active, unit }: ServiceFacts): Verdict {
  if (!systemd) return fine("systemd does not run this host; start the agent with: godwit agent");
  if (load !== "loaded") {
    return warning(
      "The agent is not a service of this host: it does not start by itself.",
      `install -m 644 ${unit} /etc/systemd/system/ && systemctl enable --now godwit-agent`,
    );
  }
  if (active === "active") return fine("The agent runs as a service.");
  return warning(
    `The agent's service is ${active}.`,
    active === "failed" ? "journalctl -u godwit-agent -n 20" : "systemctl enable --now godwit-agent",
  );
}

export const service: Check<ServiceFacts> = {
  name: "service",
  gather: async () => {
    const facts = { systemd: existsSync("/run/systemd/system"), load: "", active: "", unit: packaged.unit };
    if (!facts.systemd) return facts;
    const show = ["show", UNIT, "--property=LoadState", "--property=ActiveState"];
    const { stdout } = await run("systemctl", show, { timeout: TIMEOUT_MS });
    const value = (key: string): string => new RegExp(`^${key}=(.*)$`, "m").exec(stdout)?.[1] ?? "";
    return { ...facts, load: value("LoadState"), active: value("ActiveState") };
  },
  judge: (facts) => [judge(facts)],
};
