/** What the agent needs of QEMU: facts about the binary, a process it can start, adopt and end. */
import type { HostFacts } from "../api/host.ts";
import type { MachineSpec } from "../api/machine.ts";
import type { Qmp } from "../qmp/types.ts";

export type QemuFacts = HostFacts["qemu"];

/** Everything needed to find a QEMU again after the agent restarted. JSON. The start time guards against a reused pid. */
export interface QemuHandle {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since boot when it started. */
  readonly startTicks: number;
  /** Holds qmp.sock, console.sock, console.log, qemu.log. */
  readonly dir: string;
  readonly taps: readonly string[];
}

export interface StartOptions {
  readonly binary: string;
  readonly machine: MachineSpec;
  readonly accelerator: "kvm" | "tcg";
  /** The VM's own folder on this host; made if missing. */
  readonly dir: string;
  /** Wait for an incoming migration, and never run by itself (-incoming defer -S). */
  readonly incoming: boolean;
  /** Folder with ca-cert.pem and {server,client}-{cert,key}.pem: QEMU's TLS credentials "godwit" (mutual). */
  readonly tls?: { readonly dir: string; readonly endpoint: "server" | "client" };
  /** For NICs on "user": where its forwards listen. */
  readonly forwardAddress: string;
}

export interface QemuProcess {
  readonly handle: QemuHandle;
  readonly qmp: Qmp;
  /** Settles when the process is gone; the text is how it ended with the tail of its log. Never rejects. */
  readonly exited: Promise<string>;
  /** SIGKILL, wait until gone, remove its taps. Safe to repeat. */
  kill(): Promise<void>;
  /** User + system seconds so far. */
  cpuSeconds(): number;
}
