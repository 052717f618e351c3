/**
 * Machine specs of the lab's guests. Decides the kernel's command line and the addresses; QEMU's own command line is
 * the qemu room's business.
 */
import { machineSpec } from "../../api/machine.ts";
import type { MachineSpec } from "../../api/machine.ts";
import type { GuestFiles } from "./image.ts";
import { workloads } from "./workloads.ts";
import type { WorkloadName } from "./workloads.ts";

export const GUEST_READY = "godwit-guest: ready";
export const GUEST_FAILED = "godwit-guest: failed";

/** The NIC that needs no root: QEMU's own NAT, whose addresses are QEMU's. */
export const USER_NETWORK = "user";
const USER_ADDRESS = "10.0.2.15";
const USER_PREFIX = 24;
/** Arrives at the loopback address of whoever runs QEMU. */
const USER_CLIENT = "10.0.2.2";

/** Debian's cloud kernel under TCG is ready in 2.2 s with these, in 4.7 s without. */
const KERNEL_WORDS = [
  "console=ttyS0",
  "quiet",
  // Under TCG and from the same host clock the TSC never jumps, also over a migration; the watchdog that doubts it does
  // so when two loaded cores make it late. Under KVM the kernel prefers kvm-clock anyway.
  "tsc=reliable",
  // No panic= word: a guest that died must stay dead, a reboot would look like recovery.
  "no_timer_check",
  "nokaslr",
  "mitigations=off",
  "noreplace-smp",
  "cryptomgr.notests",
  "rcupdate.rcu_expedited=1",
  "audit=0",
  "apparmor=0",
  "ipv6.disable=1",
  "8250.nr_uarts=1",
] as const;

export interface GuestOptions {
  readonly name: string;
  readonly workload: WorkloadName;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly memory?: string;
  readonly vcpus?: number;
  /** Of the guest; with bridge "user" QEMU's own addresses are taken, whatever is said here. */
  readonly address: string;
  readonly prefix: number;
  /** Where the beacon is sent. */
  readonly clientAddress: string;
  readonly mac: string;
  /** Name of the host's bridge, or "user". */
  readonly bridge: string;
  readonly files: GuestFiles;
  readonly labels?: Readonly<Record<string, string>>;
}

export function guestMachine(options: GuestOptions): MachineSpec {
  const workload = workloads[options.workload];
  const user = options.bridge === USER_NETWORK;
  const address = user ? USER_ADDRESS : options.address;
  const prefix = user ? USER_PREFIX : options.prefix;
  const client = user ? USER_CLIENT : options.clientAddress;
  return machineSpec.parse({
    apiVersion: "godwit/v1",
    kind: "Machine",
    metadata: { name: options.name, labels: { "godwit.workload": workload.name, ...options.labels } },
    spec: {
      memory: options.memory ?? workload.memory,
      vcpus: options.vcpus ?? 1,
      kernel: options.files.kernel,
      initrd: options.files.initrd[workload.flavour],
      cmdline: [
        ...KERNEL_WORDS,
        `godwit.name=${options.name}`,
        `godwit.ip=${address}/${prefix}`,
        `godwit.client=${client}`,
        workload.cmdline(options.params ?? {}),
      ].join(" "),
      nics: [{ bridge: options.bridge, mac: options.mac }],
    },
  });
}
