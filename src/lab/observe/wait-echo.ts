/**
 * Runs in the client's place: asks a guest's UDP echo until it answers. Exit code 0 then, 1 at the deadline.
 *
 * Usage: wait-echo DEADLINE_MS PORT ADDRESS...
 */
import { createSocket } from "node:dgram";

const ASK_MS = 100;

const [deadline = "", port = "", ...addresses] = process.argv.slice(2);
const socket = createSocket("udp4");
socket.on("message", () => process.exit(0));
// An address that does not answer yet may be reported as unreachable.
socket.on("error", () => undefined);
setInterval(() => {
  for (const address of addresses) socket.send("godwit", Number(port), address, () => undefined);
}, ASK_MS);
setTimeout(() => process.exit(1), Number(deadline));
