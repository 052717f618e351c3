/** The migration range: whether a port of it is free. Whether a firewall lets it through only a peer can tell. */
import { readFileSync } from "node:fs";

import { agentConfig } from "../../agent/config.ts";
import { blocker, fine, warning, type Check, type Verdict } from "../types.ts";

export interface PortsFacts {
  readonly min: number;
  readonly max: number;
  /** Every TCP port somebody listens at. */
  readonly listening: readonly number[];
}

const LISTEN = "0A";
/** One migration takes up to this many: QEMU's or the relay's, and one for its second connection after a break. */
const FREE_MIN = 2;

/** /proc/net/tcp and tcp6, proc(5): local address in hex after the first colon, state in the fourth field. */
export const parseListening = (text: string): number[] =>
  text
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, local, , state] = line.trim().split(/\s+/);
      const port = /:([0-9A-F]{4})$/.exec(local ?? "")?.[1];
      return state === LISTEN && port !== undefined ? [Number.parseInt(port, 16)] : [];
    });

function judge({ min, max, listening }: PortsFacts): Verdict {
  const range = `${min} to ${max}`;
  const next = "Give migration.portMin and portMax of the agent's configuration another range.";
  if (min > max) return blocker(`The migration range ${range} is empty.`, next);
  const busy = new Set(listening.filter((port) => port >= min && port <= max)).size;
  const free = max - min + 1 - busy;
  if (free === 0)
    return blocker(`All ports from ${range} are taken.`, `ss -ltnp 'sport >= ${min} and sport <= ${max}'`);
  if (free < FREE_MIN) return warning(`Only ${free} port from ${range} is free.`, next);
  return fine(`${free} of ${max - min + 1} ports from ${range} are free.`);
}

function listeningIn(file: string): number[] {
  try {
    return parseListening(readFileSync(file, "utf8"));
  } catch {
    return []; // a kernel without IPv6
  }
}

const defaults = agentConfig.shape.migration.parse({});

export const ports: Check<PortsFacts> = {
  name: "ports",
  gather: ({ config }) => {
    const { portMin: min, portMax: max } = config?.migration ?? defaults;
    return { min, max, listening: [...listeningIn("/proc/net/tcp"), ...listeningIn("/proc/net/tcp6")] };
  },
  judge: (facts) => [judge(facts)],
};
