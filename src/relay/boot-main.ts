/** Makes a boot store, in a process of its own because it takes half a second and 200 MB: `node src/relay/boot-main.ts REQUEST`. */
import { z } from "zod";

import { toCodedError } from "../std/errors.ts";
import { makeBootStore } from "./boot-store.ts";

const path = z.string().startsWith("/");
const request = z.strictObject({ kernel: path.optional(), initrd: path.optional(), file: path });

try {
  makeBootStore(request.parse(JSON.parse(process.argv[2] ?? "{}")));
} catch (error) {
  process.stderr.write(`${toCodedError(error).message}\n`);
  process.exitCode = 1;
}
