/** The console joins terminal and socket, both ways, until Ctrl-] or the end of the VM. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, test } from "vitest";

import { FakeAgent, until } from "../../../test/fakes/agent.ts";
import { vm } from "../../../test/fakes/fixtures.ts";
import { FakeTerminal } from "../../../test/fakes/terminal.ts";

let folder: string;
let path: string;
let server: Server | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "godwit-console-"));
  path = join(folder, "console.sock");
});
afterEach(() => {
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const guest = (behave: (socket: Socket) => void): Promise<void> =>
  new Promise((resolve) => {
    server = createServer(behave).listen(path, resolve);
  });
const agentWithConsole = () => FakeAgent.start({ vms: () => [{ ...vm(), consoleSocket: path }] });

test("what is typed reaches the guest, up to Ctrl-], which leaves", async () => {
  let heard = "";
  await guest((socket) => socket.on("data", (bytes: Buffer) => (heard += bytes.toString())));
  await using agent = await agentWithConsole();
  const terminal = new FakeTerminal({ typed: "ls\r\u001Dnot sent" });
  expect(await terminal.run("console", "db-1", "--socket", agent.socketPath)).toBe(0);
  await until(() => heard !== "", "the guest hears");
  expect(heard).toBe("ls\r");
});

test("the guest's words are shown after piped input has ended, until the guest ends", async () => {
  await guest((socket) => socket.once("data", () => socket.end("größe: ")));
  await using agent = await agentWithConsole();
  const terminal = new FakeTerminal({ typed: "\r" });
  expect(await terminal.run("console", "db-1", "--socket", agent.socketPath)).toBe(0);
  expect(terminal.stdout).toBe("größe: ");
});

test("a console that is not on this machine is refused, naming its host", async () => {
  await using agent = await agentWithConsole();
  const terminal = new FakeTerminal();
  expect(await terminal.run("console", "db-1", "--socket", agent.socketPath)).toBe(2);
  expect(terminal.stderr).toContain("Run this on host a.");
});
