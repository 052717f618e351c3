/**
 * A program that looks like QEMU to an agent: it serves a monitor where its command line says, and does nothing else.
 * For tests that need an agent with a running VM and no guest in it.
 */
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { FakeQmpServer } from "./qmp-server.ts";

/** Writes the program into a folder; answers its path, for an agent's configuration. */
export function fakeQemuIn(folder: string): string {
  const path = join(folder, "fake-qemu.mjs");
  const here = JSON.stringify(join(import.meta.dirname, "fake-qemu.ts"));
  writeFileSync(path, `#!${process.execPath}\nimport { serve } from ${here};\nawait serve(process.argv);\n`);
  chmodSync(path, 0o755);
  return path;
}

export async function serve(argv: readonly string[]): Promise<void> {
  const monitor = argv.find((word) => word.includes("id=qmp"));
  const path = /path=([^,]+)/.exec(monitor ?? "")?.[1];
  if (path === undefined) throw new Error("no monitor asked for");
  const server = await FakeQmpServer.listen(path, {
    handlers: {
      "query-machines": () => ({ returns: [{ name: "pc-q35-7.2", "cpu-max": 255 }] }),
      "query-cpu-definitions": () => ({ returns: [{ name: "qemu64" }] }),
      "query-migrate-capabilities": () => ({ returns: [{ capability: "postcopy-ram", state: false }] }),
      "query-migrate": () => ({ returns: {} }),
    },
  });
  // A VM runs from the start unless a migration is to arrive.
  if (!argv.includes("-S")) server.started();
}
