/** The agent's log: one JSON line per event on stderr, with migration and VM ids as fields. */
import { destination, type Logger, pino } from "pino";

export type Log = Logger;

export const makeLog = (host: string): Log =>
  pino(
    { base: { host }, level: process.env["GODWIT_LOG"] ?? "info", timestamp: pino.stdTimeFunctions.isoTime },
    destination(2),
  );
