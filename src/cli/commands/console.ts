/** godwit console: joins the terminal and a VM's serial console. Ctrl-] leaves, as in virsh and telnet. */
import { connect as connectSocket, type Socket } from "node:net";

import type { Command } from "commander";

import { CodedError } from "../../std/errors.ts";
import type { Cli } from "../context.ts";
import { verb, withAgent, type AgentFlags } from "../options.ts";

/** Ctrl-] */
const LEAVE = 0x1d;

export const consoleCommand = (cli: Cli): Command =>
  withAgent(verb("console", "", "godwit console db-1"))
    .argument("<vm>", "the VM's name")
    .action(async (name: string, flags: AgentFlags) => {
      const { connect, findVm } = await import("../connect.ts");
      const { vm } = await findVm(connect(cli, flags), name);
      await join(cli, vm.consoleSocket, vm.host);
    });

async function join(cli: Cli, path: string, host: string): Promise<void> {
  const socket = await open(path, host);
  cli.say("Connected; Ctrl-] leaves.");
  cli.stdin.setRawMode?.(true);
  socket.on("data", (bytes: Buffer) => cli.stdout.write(bytes));
  const closed = new Promise<void>((resolve) => {
    socket.on("close", () => resolve());
    socket.on("error", () => resolve());
  });
  try {
    await Promise.race([typed(cli, socket), closed]);
  } finally {
    cli.stdin.setRawMode?.(false);
    socket.destroy();
    (cli.stdin as Partial<NodeJS.ReadStream>).destroy?.();
  }
}

/** Ends at Ctrl-]. The end of piped input does not end it: its answer is still to come. */
async function typed(cli: Cli, socket: Socket): Promise<void> {
  for await (const chunk of cli.stdin) {
    const bytes = Buffer.from(chunk as Buffer);
    const leave = bytes.indexOf(LEAVE);
    socket.write(leave === -1 ? bytes : bytes.subarray(0, leave));
    if (leave !== -1) return;
  }
  await new Promise(() => {});
}

function open(path: string, host: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", (cause) => {
      const problem = `The console cannot be opened from here: ${path}`;
      reject(new CodedError("USAGE", { problem, next: `Run this on host ${host}.` }, { cause }));
    });
  });
}
