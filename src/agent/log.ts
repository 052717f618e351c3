/**
 * The agent's log: one JSON line per event on stderr, with migration and VM ids as fields. Under systemd each line begins
 * with its priority, `<N>` as in sd-daemon(3), which journald takes off and files.
 */
import { fstatSync } from "node:fs";

import { destination, type DestinationStream, type Logger, pino } from "pino";

export type Log = Logger;

/** Fields that could carry a secret, should a logged request or error ever hold one. */
const SECRET = ["authorization", "cookie", "token", "password", "key", "tlsKey"];
const REDACTED = SECRET.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/** pino's level → syslog's priority. */
const priority = (level: number): number => {
  if (level >= 60) return 2; // critical: the agent cannot go on
  if (level >= 50) return 3; // error: somebody must look
  if (level >= 40) return 4; // warning
  return level >= 30 ? 6 : 7; // informational, debug
};

export const makeLog = (host: string, to: DestinationStream = stderr()): Log =>
  pino(
    {
      base: { host },
      level: process.env["GODWIT_LOG"] ?? "info",
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: REDACTED, censor: "[redacted]" },
    },
    to,
  );

const stderr = (): DestinationStream => {
  const plain = destination(2);
  return isJournal(process.env["JOURNAL_STREAM"]) ? prioritised(plain) : plain;
};

/** The variable is inherited; it counts only where stderr is that very stream (systemd.exec(5)). */
export function isJournal(stream: string | undefined, fd = 2): boolean {
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(fd);
  return stream === `${dev}:${ino}`;
}

/** Puts the priority before each line. */
export function prioritised(to: DestinationStream): DestinationStream {
  // pino leaves the level of the line it is about to write on a stream that has this mark.
  const stream = {
    [Symbol.for("pino.metadata")]: true,
    lastLevel: 30,
    write(line: string): void {
      to.write(`<${priority(stream.lastLevel)}>${line}`);
    },
  };
  return stream;
}
