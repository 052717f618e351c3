/**
 * What the agent tells systemd when it runs as a service: that it is ready, that it ends, and, when asked for, that it
 * is alive. The protocol is sd_notify(3): a datagram to a unix socket, which Node cannot send by itself, so libc does.
 */
import { createRequire } from "node:module";

import type * as koffi from "koffi";

import type { Log } from "./log.ts";

export interface ServiceManager {
  ready(): void;
  stopping(): void;
}

/** unix(7), socket(2). */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** sizeof sockaddr_un.sun_path. */
const PATH_BYTES_MAX = 108;

/** struct sockaddr_un; a name that begins with @ is abstract: a NUL in its place, and none at the end. */
export function socketAddress(name: string): Buffer {
  const abstract = name.startsWith("@");
  const path = Buffer.from(abstract ? `\0${name.slice(1)}` : `${name}\0`);
  if (!/^[@/]./.test(name) || path.byteLength > PATH_BYTES_MAX) {
    throw new RangeError(`${name} is no name of a socket`);
  }
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, path]);
}

/** How often to say that we live: half of what is allowed, as sd_watchdog_enabled(3) advises. Undefined: never. */
export function watchdogMs(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): number | undefined {
  const usec = Number(env["WATCHDOG_USEC"] ?? 0);
  const ours = (env["WATCHDOG_PID"] ?? "") === "" || env["WATCHDOG_PID"] === String(pid);
  return ours && Number.isFinite(usec) && usec >= 2000 ? usec / 2000 : undefined;
}

/** Takes its variables out of `env`: what the agent starts must not speak for it. */
export function serviceManager(env: NodeJS.ProcessEnv, log: Pick<Log, "warn">): ServiceManager {
  const name = env["NOTIFY_SOCKET"] ?? "";
  const everyMs = watchdogMs(env, process.pid);
  for (const key of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete env[key];
  if (name === "") return { ready: () => undefined, stopping: () => undefined };
  let send: (state: string) => void;
  try {
    send = sender(socketAddress(name));
  } catch (error) {
    log.warn(
      { why: String(error) },
      "systemd cannot be told that the agent is ready; use Type=exec in its unit",
    );
    return { ready: () => undefined, stopping: () => undefined };
  }
  return {
    ready: () => {
      send("READY=1\nSTATUS=Ready.");
      // From our own event loop: when that hangs, so do we.
      if (everyMs !== undefined) setInterval(() => send("WATCHDOG=1"), everyMs).unref();
    },
    stopping: () => send("STOPPING=1\nSTATUS=Ending; VMs and their migrations go on."),
  };
}

function sender(address: Buffer): (state: string) => void {
  const { load } = createRequire(import.meta.url)("koffi") as typeof koffi;
  const libc = load(null);
  const open = libc.func("int socket(int domain, int type, int protocol)") as (
    domain: number,
    type: number,
    protocol: number,
  ) => number;
  const close = libc.func("int close(int fd)") as (fd: number) => number;
  const sendto = libc.func(
    "long sendto(int fd, void *bytes, size_t size, int flags, void *address, unsigned int addressSize)",
  ) as (
    fd: number,
    bytes: Buffer,
    size: number,
    flags: number,
    address: Buffer,
    addressSize: number,
  ) => number;
  return (state) => {
    const fd = open(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    // Nobody listening is no fault of the agent's; systemd notices by itself.
    const bytes = Buffer.from(state);
    sendto(fd, bytes, bytes.byteLength, MSG_DONTWAIT | MSG_NOSIGNAL, address, address.byteLength);
    close(fd);
  };
}
