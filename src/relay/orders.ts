/** What a relay on standby does until its configuration is named on its standard input (standby.ts). */
import { flushCompileCache } from "node:module";
import { join } from "node:path";

import { toCodedError } from "../std/errors.ts";
import { openAhead } from "./opened.ts";
import { rehearse } from "./rehearsal.ts";

/** A path of the file system, and no more. */
const LINE_BYTES_MAX = 4096;

/**
 * `holds`: a page store that the migration will most likely begin with. @returns the configuration's file; undefined when
 * whoever would have named it is gone.
 */
export async function awaitOrders([dir = "", tlsDir = "", name = "", holds]: readonly string[]): Promise<
  string | undefined
> {
  const stop = new AbortController();
  const line = firstLine().finally(() => stop.abort());
  const { signal } = stop;
  try {
    await rehearse({ dir: join(dir, "rehearsal"), tlsDir, name, signal });
  } catch (error) {
    if (!signal.aborted) process.stderr.write(`the rehearsal failed: ${toCodedError(error).message}\n`);
  }
  if (!signal.aborted) await openAhead(holds, signal);
  // While there is time: when the relay has begun nothing of it is left to be written.
  if (!signal.aborted) flushCompileCache();
  return line;
}

function firstLine(): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = "";
    const end = (line: string | undefined): void => {
      process.stdin.destroy();
      resolve(line);
    };
    process.stdin.setEncoding("utf8");
    process.stdin.on("data", (part: string) => {
      text += part;
      const length = text.indexOf("\n");
      if (length >= 0) end(text.slice(0, length));
      else if (text.length > LINE_BYTES_MAX) end(undefined);
    });
    process.stdin.on("end", () => end(undefined));
    process.stdin.on("error", () => end(undefined));
  });
}
