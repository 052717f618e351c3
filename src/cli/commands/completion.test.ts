/** Completion, as the shell's script asks for it: in a process of its own, because the library prints by itself. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";

import { expect, test } from "vitest";

const MAIN = join(import.meta.dirname, "../main.ts");
const run = promisify(execFile);
const godwit = async (...argv: string[]): Promise<string> =>
  (await run(process.execPath, [MAIN, ...argv], { timeout: 20_000 })).stdout;

test.each(["bash", "zsh", "fish"])("there is a script for %s that asks godwit", async (shell) => {
  expect(await godwit("completion", shell)).toContain("complete --");
});

test("verbs and flags are completed", async () => {
  expect(await godwit("complete", "--", "mig")).toContain("migrate");
  expect(await godwit("complete", "--", "migrate", "--band")).toContain("--bandwidth");
});
