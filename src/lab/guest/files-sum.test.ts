import { mkdtempSync, rmSync } from "node:fs";
import { type Server, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { filesSum } from "./files-sum.ts";

let folder: string;
let server: Server;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "godwit-sum-"));
});
afterEach(async () => {
  await new Promise((done) => server.close(done));
  rmSync(folder, { recursive: true, force: true });
});

/** A console that says these pieces once a whole line was typed. */
function console(answer: (typed: string) => readonly string[] | "hang up"): Promise<string> {
  const path = join(folder, "console.sock");
  server = createServer((socket) => {
    let typed = "";
    socket.on("data", (piece) => {
      typed += piece.toString();
      if (!typed.trimStart().includes("\n")) return;
      const pieces = answer(typed);
      if (pieces === "hang up") socket.destroy();
      else for (const one of pieces) socket.write(one);
    });
    socket.on("error", () => undefined);
  });
  return new Promise((resolve) => {
    server.listen(path, () => resolve(path));
  });
}

const SUM = "0123456789abcdef".repeat(4);

it("is what the shell prints, not what it echoes, however it is cut", async () => {
  const path = await console((typed) => [
    typed,
    "\r\ngodwit-",
    `sum=${SUM.slice(0, 10)}`,
    `${SUM.slice(10)}\r\n`,
  ]);
  expect(await filesSum(path, 5000)).toBe(SUM);
});

it("is refused of a console that is silent or gone", async () => {
  const silent = await console(() => []);
  await expect(filesSum(silent, 50)).rejects.toThrow(/did not answer/);
  await new Promise((done) => server.close(done));
  await expect(filesSum(join(folder, "none.sock"), 5000)).rejects.toThrow(/ENOENT/);
  const shut = await console(() => "hang up");
  await expect(filesSum(shut, 5000)).rejects.toThrow(/closed/);
});
