import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { qmpArgs } from "../../src/qemu/args.ts";
import { launch } from "../../src/qemu/launch.ts";
import { qmpContract } from "../contracts/qmp.ts";

qmpContract("QEMU", async () => {
  const dir = mkdtempSync(join(tmpdir(), "qmp-"));
  const qmpSocket = join(dir, "qmp.sock");
  const args = [
    "-nodefaults",
    "-display",
    "none",
    "-machine",
    "pc-q35-7.2",
    "-m",
    "32M",
    "-S",
    ...qmpArgs(qmpSocket),
  ];
  const { pid, qmp, ended } = await launch({
    binary: "qemu-system-x86_64",
    args,
    vm: "contract",
    qmpSocket,
    log: join(dir, "qemu.log"),
  });
  await qmp[Symbol.asyncDispose](); // QEMU serves one connection at a time
  let alive = true;
  void ended.then(() => (alive = false));
  const lose = async (): Promise<void> => {
    if (alive) process.kill(pid, "SIGKILL");
    await ended;
  };
  return {
    socketPath: qmpSocket,
    freeze: () => process.kill(pid, "SIGSTOP"),
    lose,
    [Symbol.asyncDispose]: async () => {
      await lose();
      rmSync(dir, { recursive: true, force: true });
    },
  };
});
