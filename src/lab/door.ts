/**
 * A way from this machine's own network to the listener an agent has for people, whose namespace has no cable to us. A
 * socket belongs to the network it was opened in, whoever holds it: it is opened here and handed to a process there.
 */
import { createServer, type Server } from "node:net";
import { join } from "node:path";

import { CodedError } from "../std/errors.ts";
import { programPath } from "../std/program-path.ts";
import { DOOR_ADDRESS, HTTP_PORT } from "./names.ts";
import { startDetached } from "./processes.ts";
import { type LabState, hostOf } from "./state.ts";

const PROCESS = programPath(import.meta.url, "./door-process.ts");

/** @returns the address to open in a browser. The door ends with the lab, which ends all that runs in its namespaces. */
export async function openDoor(lab: LabState, name: string, port = 0): Promise<string> {
  const host = hostOf(lab, name);
  if (host.netns === null) return `http://${host.address}:${HTTP_PORT}/`;
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, DOOR_ADDRESS, resolve);
  });
  try {
    const address = server.address();
    const file = descriptorOf(server);
    if (address === null || typeof address === "string" || file === undefined) {
      throw new CodedError("INTERNAL", { problem: "a listening socket without a number" });
    }
    startDetached({
      netns: host.netns,
      command: [process.execPath, PROCESS, String(HTTP_PORT)],
      log: join(host.stateDir, "door.log"),
      files: [file],
    });
    return `http://${DOOR_ADDRESS}:${address.port}/`;
  } finally {
    server.close();
  }
}

/** Node names the number of a socket's file nowhere else. */
const descriptorOf = (server: Server): number | undefined =>
  (server as unknown as { _handle?: { fd?: number } })._handle?.fd;
