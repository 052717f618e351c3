/** Starts a guest with a plain QEMU, for tests of the guests themselves; nothing of the qemu room is used. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, connect } from "node:net";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";

import type { MachineSpec } from "../../src/api/machine.ts";

const POLL_MS = 20;

/** Polls until the answer is not undefined; says what was waited for when time is over. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  look: () => Promise<T | undefined> | T | undefined,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await wait(POLL_MS);
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** One line to a TCP service, one line back. */
export async function askLine(port: number, line: string): Promise<string> {
  const socket: Socket = connect(port, "127.0.0.1");
  try {
    socket.setTimeout(10_000, () => socket.destroy(new Error(`no answer to ${line}`)));
    socket.write(line);
    for await (const answer of createInterface({ input: socket })) return answer;
    throw new Error(`no answer to ${line}`);
  } finally {
    socket.destroy();
  }
}

export interface TestGuest extends AsyncDisposable {
  console(): Promise<string>;
  qmp(execute: string, args?: Record<string, unknown>): Promise<unknown>;
  readonly dir: string;
}

/** `forwards` are QEMU's own words, for example "hostfwd=udp:127.0.0.1:7107-:7007". */
export async function startGuest(machine: MachineSpec, forwards: readonly string[] = []): Promise<TestGuest> {
  const dir = await mkdtemp(join(tmpdir(), "godwit-guest-"));
  const { spec } = machine;
  const nics = spec.nics.map(({ mac }) =>
    ["user", "model=virtio-net-pci", `mac=${mac}`, ...forwards].join(","),
  );
  const words = [
    `-M ${spec.machine} -cpu ${spec.cpu} -accel tcg -m ${Number.parseInt(spec.memory, 10)}M -smp ${spec.vcpus}`,
    `-nodefaults -no-user-config -display none -serial file:${dir}/console.log -qmp stdio -kernel ${spec.kernel}`,
    spec.initrd === undefined ? "" : `-initrd ${spec.initrd}`,
    nics.length === 0 ? "-nic none" : nics.map((nic) => `-nic ${nic}`).join(" "),
  ];
  const command = words
    .join(" ")
    .split(" ")
    .filter((word) => word !== "");
  if (spec.cmdline !== "") command.push("-append", spec.cmdline);
  const child: ChildProcess = spawn("qemu-system-x86_64", command, { stdio: ["pipe", "pipe", "ignore"] });
  const gone = new Promise<void>((resolve) => {
    child.on("exit", () => resolve());
    child.on("error", () => resolve());
  });
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("QEMU has no monitor");
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  const qmp = async (execute: string, args: Record<string, unknown> = {}): Promise<unknown> => {
    stdin.write(JSON.stringify({ execute, arguments: args }));
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error("QEMU ended");
      const message = JSON.parse(value) as { return?: unknown; error?: { desc: string } };
      if (message.error !== undefined) throw new Error(message.error.desc);
      if ("return" in message) return message.return;
    }
  };
  await qmp("qmp_capabilities");
  return {
    dir,
    console: () => readFile(join(dir, "console.log"), "latin1").catch(() => ""),
    qmp,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await gone;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
