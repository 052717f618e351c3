/** What systemd hears from an agent, through a socket of its kind. */
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type * as koffi from "koffi";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { serviceManager, socketAddress, watchdogMs } from "./service-manager.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "godwit-notify-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const silent = { warn: () => undefined };

/** A datagram socket bound to `name`; `heard` takes what arrived so far. */
function listenAt(name: string): { heard(): string[]; close(): void } {
  const libc = (createRequire(import.meta.url)("koffi") as typeof koffi).load(null);
  const socket = libc.func("int socket(int, int, int)") as (...args: number[]) => number;
  const bind = libc.func("int bind(int, void *, unsigned int)") as (
    fd: number,
    a: Buffer,
    n: number,
  ) => number;
  const recv = libc.func("long recv(int, void *, size_t, int)") as (
    fd: number,
    into: Buffer,
    size: number,
    flags: number,
  ) => number;
  const close = libc.func("int close(int)") as (fd: number) => number;
  const fd = socket(1, 2, 0);
  const address = socketAddress(name);
  if (bind(fd, address, address.byteLength) !== 0) throw new Error(`bind ${name}`);
  return {
    heard: () => {
      const all: string[] = [];
      for (;;) {
        const into = Buffer.alloc(4096);
        const size = recv(fd, into, into.byteLength, 0x40);
        if (size < 0) return all;
        all.push(into.subarray(0, size).toString());
      }
    },
    close: () => close(fd),
  };
}

test("ready and stopping are told once each, and children are not told where", () => {
  const name = join(folder, "notify");
  const systemd = listenAt(name);
  const env: NodeJS.ProcessEnv = { NOTIFY_SOCKET: name, PATH: "/bin" };
  const manager = serviceManager(env, silent);
  expect(env).toEqual({ PATH: "/bin" });
  manager.ready();
  manager.stopping();
  expect(systemd.heard().map((message) => message.split("\n")[0])).toEqual(["READY=1", "STOPPING=1"]);
  systemd.close();
});

test("an abstract socket is reached too", () => {
  const name = `@godwit-test-${process.pid}`;
  const systemd = listenAt(name);
  serviceManager({ NOTIFY_SOCKET: name }, silent).ready();
  expect(systemd.heard()).toHaveLength(1);
  systemd.close();
});

test("with a watchdog the agent says twice in each period that it lives", () => {
  vi.useFakeTimers();
  try {
    const name = join(folder, "notify");
    const systemd = listenAt(name);
    const manager = serviceManager({ NOTIFY_SOCKET: name, WATCHDOG_USEC: "10000000" }, silent);
    manager.ready();
    systemd.heard();
    vi.advanceTimersByTime(10_000);
    expect(systemd.heard()).toEqual(["WATCHDOG=1", "WATCHDOG=1"]);
    systemd.close();
  } finally {
    vi.useRealTimers();
  }
});

test("a watchdog meant for another process is not ours", () => {
  expect(watchdogMs({ WATCHDOG_USEC: "30000000" }, 7)).toBe(15_000);
  expect(watchdogMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "7" }, 7)).toBe(15_000);
  expect(watchdogMs({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "8" }, 7)).toBeUndefined();
  expect(watchdogMs({ WATCHDOG_USEC: "soon" }, 7)).toBeUndefined();
});

test("outside systemd, and with a name that is none, the agent goes on", () => {
  serviceManager({}, silent).ready();
  const warn = vi.fn<() => undefined>();
  serviceManager({ NOTIFY_SOCKET: "no/such" }, { warn }).ready();
  serviceManager({ NOTIFY_SOCKET: `/${"x".repeat(200)}` }, { warn }).ready();
  expect(warn).toHaveBeenCalledTimes(2);
  // Nobody is there: told to no one, refused by no one.
  serviceManager({ NOTIFY_SOCKET: join(folder, "nobody") }, { warn }).ready();
  expect(warn).toHaveBeenCalledTimes(2);
});
