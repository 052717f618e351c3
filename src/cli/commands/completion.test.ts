/** Completion, as the shell's script asks for it: in a process of its own, because the library prints by itself. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { expect, test } from "vitest";

const MAIN = join(import.meta.dirname, "../main.ts");
const run = promisify(execFile);
const godwit = async (...argv: string[]): Promise<string> =>
  (await run(process.execPath, [MAIN, ...argv], { timeout: 20_000 })).stdout;

/** All verbs are completed, so all of them must be there. */
const complete = existsSync(join(import.meta.dirname, "lab.ts"));

test.skipIf(!complete).each(["bash", "zsh", "fish"])(
  "there is a script for %s that asks godwit",
  async (shell) => {
    expect(await godwit("completion", shell)).toContain("complete --");
  },
);

test.skipIf(!complete)("verbs and flags are completed", async () => {
  expect(await godwit("complete", "--", "mig")).toContain("migrate");
  expect(await godwit("complete", "--", "migrate", "--band")).toContain("--bandwidth");
});
