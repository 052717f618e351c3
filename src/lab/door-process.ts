/** The door's process, inside a host's namespace: joins what comes in at the socket it was given to the agent there. */
import { connect, createServer } from "node:net";

import { DOOR_ADDRESS } from "./names.ts";

const GIVEN = 3;
const port = Number(process.argv[2]);

createServer((outside) => {
  const inside = connect(port, DOOR_ADDRESS);
  // Either side's end is the other's; an agent that is away simply ends the connection.
  const end = (): void => {
    outside.destroy();
    inside.destroy();
  };
  outside.on("error", end).on("close", end);
  inside.on("error", end).on("close", end);
  outside.pipe(inside);
  inside.pipe(outside);
}).listen({ fd: GIVEN });
