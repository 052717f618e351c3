/**
 * QEMU's command line from a machine spec. Pure: the same options give the same words, so both hosts of a migration
 * build the same machine. Whatever the guest can see has an explicit id and PCI address; nothing depends on order.
 * It decides nothing about processes (process.ts) or taps (taps.ts).
 */
import { join } from "node:path";

import { type DiskSpec, type MachineSpec, memoryBytes, type NicSpec, USER_BRIDGE } from "../api/machine.ts";
import { CodedError } from "../std/errors.ts";
import type { StartOptions } from "./types.ts";

/** The id of the TLS credentials object; what the migration parameter tls-creds names. */
export const TLS_CREDS_ID = "godwit";
/** Both ends of a migration are godwit's, so the oldest TLS they need is the newest. */
export const TLS_PRIORITY = "NORMAL:-VERS-ALL:+VERS-TLS1.3";

/** sockaddr_un: 108 bytes with the final NUL. A longer path is cut by some programs, refused by others. */
export const SOCKET_PATH_BYTES_MAX = 107;

/** Slot 0 is the host bridge, 1 and 0x1f hold the chipset's functions; 8 NICs and 16 disks fit between them. */
/** QEMU rounds RAM sizes to this. */
const ODD_BYTES = 8192;

const FIRST_NIC_SLOT = 0x04;
const FIRST_DISK_SLOT = 0x0c;

export interface VmFiles {
  readonly qmpSocket: string;
  readonly consoleSocket: string;
  readonly consoleLog: string;
  readonly qemuLog: string;
  /** The handle, for an agent that died before it wrote its own. */
  readonly handle: string;
}

/** Names of a VM's files in its folder. */
export const vmFiles = (dir: string): VmFiles => ({
  qmpSocket: join(dir, "qmp.sock"),
  consoleSocket: join(dir, "console.sock"),
  consoleLog: join(dir, "console.log"),
  qemuLog: join(dir, "qemu.log"),
  handle: join(dir, "qemu.json"),
});

export interface ArgsOptions extends Omit<StartOptions, "binary"> {
  /** One name for each NIC that is not on "user", in the order of the spec. */
  readonly taps: readonly string[];
}

export function qemuArgs(options: ArgsOptions): string[] {
  const { machine, accelerator, dir } = options;
  const { spec, metadata } = machine;
  const files = vmFiles(dir);
  const bus = spec.machine.startsWith("pc-q35-") ? "pcie.0" : "pci.0";
  const console = `socket,id=console,path=${quote(files.consoleSocket)},server=on,wait=off`;
  return [
    ["-nodefaults", "-no-user-config"],
    ["-display", "none"],
    ["-msg", "timestamp=on"],
    ["-name", `guest=${metadata.name},process=godwit-${metadata.name}`],
    ["-machine", `${spec.machine},accel=${accelerator}`],
    ["-cpu", spec.cpu],
    ["-smp", `cpus=${spec.vcpus}`],
    ["-m", `size=${ramBytes(machine, accelerator)}B`],
    bootArgs(options),
    ...spec.disks.map((disk, index) => diskArgs(disk, index, bus, spec.kernel === undefined)),
    nicArgs(options, bus),
    ["-chardev", `${console},logfile=${quote(files.consoleLog)},logappend=on`],
    ["-serial", "chardev:console"],
    qmpArgs(files.qmpSocket),
    tlsArgs(options.tls),
    options.incoming ? ["-incoming", "defer", "-S"] : [],
  ].flat();
}

/**
 * Under TCG 8 KiB more than asked for. QEMU before 9.0 loses track of writes when it reads the dirty log of a RAM block
 * of whole 256 KiB in one go; a block of another size is read page by page, which is right (decision 0004).
 */
export const ramBytes = (machine: MachineSpec, accelerator: "kvm" | "tcg"): number =>
  memoryBytes(machine) + (accelerator === "tcg" ? ODD_BYTES : 0);

/** A control monitor on a unix socket; the probe has one too. */
export function qmpArgs(socketPath: string): string[] {
  const chardev = `socket,id=qmp,path=${quote(checkedSocketPath(socketPath))},server=on,wait=off`;
  return ["-chardev", chardev, "-mon", "chardev=qmp,mode=control"];
}

/** In QEMU's key=value lists a comma is written twice. */
const quote = (value: string): string => value.replaceAll(",", ",,");

/** @throws CodedError USAGE when no socket can have this path. */
export function checkedSocketPath(path: string): string {
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path;
  const problem = `The socket path ${path} is longer than the ${SOCKET_PATH_BYTES_MAX} bytes the system allows.`;
  throw new CodedError("USAGE", { problem, next: "Use a state folder with a shorter path." });
}

function bootArgs({ machine: { spec } }: ArgsOptions): string[] {
  if (spec.kernel === undefined) return [];
  const initrd = spec.initrd === undefined ? [] : ["-initrd", spec.initrd];
  const append = spec.cmdline === "" ? [] : ["-append", spec.cmdline];
  return ["-kernel", spec.kernel, ...initrd, ...append];
}

/**
 * Both hosts have a shared image open during a migration. QEMU's own image locks hand it over: the target takes
 * none until its nodes are activated, the source gives them up when it completes. Its page cache is dropped then
 * (the file driver's drop-cache, on by default), so cache.direct is not needed for that.
 */
function diskArgs(disk: DiskSpec, index: number, bus: string, bootFromFirst: boolean): string[] {
  const node = {
    driver: disk.format,
    "node-name": `disk${index}`,
    "read-only": disk.readonly,
    file: { driver: "file", filename: disk.path, "read-only": disk.readonly },
  };
  const boot = bootFromFirst && index === 0 ? ",bootindex=0" : "";
  const device = `virtio-blk-pci,id=blk${index},drive=disk${index}`;
  const address = `bus=${bus},addr=${hex(FIRST_DISK_SLOT + index)}`;
  return ["-blockdev", JSON.stringify(node), "-device", `${device},${address}${boot}`];
}

function nicArgs({ machine, taps, forwardAddress }: ArgsOptions, bus: string): string[] {
  let nextTap = 0;
  return machine.spec.nics.flatMap((nic, index) => {
    const id = `id=net${index}`;
    const netdev =
      nic.bridge === USER_BRIDGE ? userNet(id, nic, forwardAddress) : tapNet(id, taps[nextTap++]);
    // No option ROM: its size would be guest-visible RAM that has to be equal on both hosts.
    const device = `virtio-net-pci,id=nic${index},netdev=net${index},mac=${nic.mac},romfile=`;
    const address = `bus=${bus},addr=${hex(FIRST_NIC_SLOT + index)}`;
    return ["-netdev", netdev, "-device", `${device},${address}`];
  });
}

/**
 * For labs without root. Not `restrict=on`: with it QEMU 7.2 answers no forwarded UDP. So such a guest reaches what
 * listens on this host; a NIC on a bridge does not.
 */
function userNet(id: string, nic: NicSpec, address: string): string {
  const forwards = nic.forward.map((f) => `,hostfwd=${f.protocol}:${address}:${f.hostPort}-:${f.guestPort}`);
  return `user,${id}${forwards.join("")}`;
}

function tapNet(id: string, name: string | undefined): string {
  if (name === undefined) throw new Error("a NIC on a bridge has no tap");
  return `tap,${id},ifname=${name},script=no,downscript=no`;
}

function tlsArgs(tls: StartOptions["tls"]): string[] {
  return tls === undefined ? [] : ["-object", JSON.stringify(tlsCreds(tls.dir, tls.endpoint))];
}

/** The same object for the command line and for object-add: a VM that runs here may migrate away later. */
export const tlsCreds = (
  dir: string,
  endpoint: "server" | "client",
): { readonly "qom-type": "tls-creds-x509"; readonly id: string; readonly [property: string]: unknown } => ({
  "qom-type": "tls-creds-x509",
  id: TLS_CREDS_ID,
  dir,
  endpoint,
  "verify-peer": true,
  priority: TLS_PRIORITY,
});

const hex = (slot: number): string => `0x${slot.toString(16).padStart(2, "0")}`;
