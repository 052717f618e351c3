/**
 * Runs in the client's place, after the fact: reads every acknowledged write back and prints one line of JSON.
 *
 * Usage: redis-check LOG TIMEOUT_MS PORT ADDRESS...
 */
import { readFileSync } from "node:fs";

import { RECORD_BYTES } from "./records.ts";
import { ReplyReader, encodeCommand } from "./resp.ts";
import { conversation } from "./talk.ts";
import { parseWritten, writeKey, writeValue } from "./writes.ts";

const KEYS_PER_COMMAND = 500;

const [log = "", timeout = "", port = "", ...addresses] = process.argv.slice(2);
const written = parseWritten(readFileSync(log), RECORD_BYTES);
const batches = Array.from({ length: Math.ceil(written.length / KEYS_PER_COMMAND) }, (_, index) =>
  written.slice(index * KEYS_PER_COMMAND, (index + 1) * KEYS_PER_COMMAND),
);

let lost = 0;
let firstLost: number | null = null;
let answered = 0;
const reader = new ReplyReader();
await conversation({
  addresses,
  port: Number(port),
  timeoutMs: Number(timeout),
  say:
    batches.length === 0
      ? encodeCommand(["PING"])
      : batches
          .map((batch) => encodeCommand(["MGET", ...batch.map(({ number }) => writeKey(number))]))
          .join(""),
  hear: (piece) => {
    for (const reply of reader.push(piece)) {
      const batch = batches[answered];
      answered += 1;
      if (batch === undefined) continue;
      if (reply.kind !== "list") throw new Error(`Redis answered ${JSON.stringify(reply)}`);
      for (const [index, { number, dueNs }] of batch.entries()) {
        const item = reply.items[index];
        if (item?.kind === "text" && item.text === writeValue(number, dueNs)) continue;
        lost += 1;
        firstLost ??= number;
      }
    }
    return answered >= Math.max(1, batches.length);
  },
});
process.stdout.write(`${JSON.stringify({ acknowledged: written.length, lost, firstLost })}\n`);
