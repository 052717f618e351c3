/**
 * Runs in the client's place: says one line over TCP, prints the line that comes back.
 *
 * Usage: ask-line LINE TIMEOUT_MS PORT ADDRESS...
 */
import { conversation } from "./talk.ts";

const LINE_MAX_BYTES = 64 * 1024;

const [line = "", timeout = "", port = "", ...addresses] = process.argv.slice(2);
let heard = "";
await conversation({
  addresses,
  port: Number(port),
  timeoutMs: Number(timeout),
  say: `${line}\n`,
  hear: (piece) => {
    heard += piece.toString("utf8");
    if (heard.length > LINE_MAX_BYTES) throw new Error("an answer without end");
    return heard.includes("\n");
  },
});
process.stdout.write(`${heard.split("\n")[0] ?? ""}\n`);
