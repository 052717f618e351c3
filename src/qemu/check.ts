/**
 * The pre-flight check: everything that would stop or spoil a migration, found at once, so that nobody cures one
 * problem to meet the next. Pure, but for `blockers`, which asks the running QEMU. Gathering the facts and deciding
 * what to do with warnings is left to the agent.
 */
import type { Finding, HostFacts } from "../api/host.ts";
import { type MachineSpec, memoryBytes, USER_BRIDGE } from "../api/machine.ts";
import type { MigrateSettings } from "../api/migration.ts";
import type { Qmp } from "../qmp/types.ts";
import { formatBytes } from "../std/units.ts";
import { isOlder, isSupported, OLDEST_QEMU, parseVersion } from "./version.ts";

/** QEMU's own memory beside the guest's: page tables, device state in flight, TCG's translated code. */
export const MEMORY_MARGIN_BYTES = 128 * 2 ** 20;
/** Below the first the journal of a migration may not fit; below the second somebody should know. */
export const STATE_DISK_FULL_BYTES = 16 * 2 ** 20;
export const STATE_DISK_LOW_BYTES = 256 * 2 ** 20;

export interface Missing {
  readonly files: readonly string[];
  readonly bridges: readonly string[];
}

export interface CheckInput {
  readonly machine: MachineSpec;
  /** The one the VM runs with now. */
  readonly accelerator: "kvm" | "tcg";
  readonly source: HostFacts;
  readonly target: HostFacts;
  readonly settings: MigrateSettings;
  readonly targetVmNames: readonly string[];
  /** Of what `namedFiles` and `namedBridges` list, that which the target does not have. */
  readonly missingAtTarget: Missing;
}

/** Files of the spec that both hosts need. */
export function namedFiles({ spec }: MachineSpec): string[] {
  const boot = [spec.kernel, spec.initrd].filter((path) => path !== undefined);
  return [...boot, ...spec.disks.map((disk) => disk.path)];
}

export const namedBridges = ({ spec }: MachineSpec): string[] => [
  ...new Set(spec.nics.map((nic) => nic.bridge).filter((bridge) => bridge !== USER_BRIDGE)),
];

/** True when this migration may come to need post-copy: by its technique, or on a rung of its policy. */
export function mayFetch({ technique, policy }: MigrateSettings): boolean {
  const actions = [...policy.initial, ...policy.convergence.map((item) => item.action), ...policy.last];
  return (
    technique === "post-copy" || technique === "hybrid" || actions.some((action) => action.do === "post-copy")
  );
}

/** Blockers first. */
export function findings(input: CheckInput): Finding[] {
  const all = [
    ...cpuAndMachine(input),
    ...qemuVersions(input),
    ...room(input),
    ...storage(input),
    ...network(input),
    ...fetching(input),
  ];
  return [...all.filter((f) => f.severity === "blocker"), ...all.filter((f) => f.severity === "warning")];
}

/** What the running QEMU itself says stands in the way (query-migrate, blocked-reasons). */
export async function blockers(
  qmp: Qmp,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Finding[]> {
  const info = await qmp.execute("query-migrate", {}, options);
  return (info["blocked-reasons"] ?? []).map((reason) =>
    blocker(
      "QEMU_BLOCKS",
      `QEMU says: ${reason}.`,
      "Remove the device or setting it names from the machine.",
    ),
  );
}

const blocker = (code: string, what: string, next: string): Finding => ({
  code,
  severity: "blocker",
  what,
  next,
});
const warning = (code: string, what: string, next: string): Finding => ({
  code,
  severity: "warning",
  what,
  next,
});

function* cpuAndMachine({ machine, accelerator, target }: CheckInput): Generator<Finding> {
  const { spec } = machine;
  const model = spec.cpu.split(",")[0] ?? "";
  if (model === "host" || model === "max") {
    const what = `The CPU model "${model}" is a different CPU on each host.`;
    yield blocker("CPU_NOT_PORTABLE", what, `Start the VM with a named model that ${target.name} has.`);
  } else if (!target.qemu.cpus.includes(model)) {
    const what = `QEMU on ${target.name} does not know the CPU model ${model}.`;
    yield blocker("CPU_UNKNOWN", what, "Start the VM with a model both hosts have.");
  }
  if (!target.qemu.machines.includes(spec.machine)) {
    const what = `QEMU on ${target.name} does not offer the machine type ${spec.machine}.`;
    yield blocker(
      "MACHINE_UNKNOWN",
      what,
      "Install a QEMU there that has it, or start the VM with an older type.",
    );
  }
  if (!target.qemu.accelerators.includes(accelerator)) {
    const what = `The VM runs under ${accelerator.toUpperCase()}, which ${target.name} does not have.`;
    yield blocker("ACCELERATOR_DIFFERS", what, `Choose a host with ${accelerator.toUpperCase()}.`);
  }
  if (spec.vcpus > target.vcpus) {
    const what = `The VM has ${spec.vcpus} vCPUs, ${target.name} has ${target.vcpus} CPUs.`;
    yield warning("VCPUS_EXCEED_HOST", what, "It will run, but slower than it is used to.");
  }
}

function* qemuVersions({ source, target }: CheckInput): Generator<Finding> {
  const oldest = `${OLDEST_QEMU.major}.${OLDEST_QEMU.minor}`;
  for (const host of [source, target]) {
    if (!isSupported(parseVersion(host.qemu.version))) {
      const what = `QEMU ${host.qemu.version} on ${host.name} is older than ${oldest}.`;
      yield blocker("QEMU_TOO_OLD", what, `Install QEMU ${oldest} or newer there.`);
    }
  }
  if (isOlder(parseVersion(target.qemu.version), parseVersion(source.qemu.version))) {
    const what = `QEMU on ${target.name} (${target.qemu.version}) is older than on ${source.name} (${source.qemu.version}).`;
    yield warning(
      "QEMU_OLDER_AT_TARGET",
      what,
      "Moving to an older QEMU is tested less; prefer updating it first.",
    );
  }
}

function* room({ machine, source, target, targetVmNames }: CheckInput): Generator<Finding> {
  const { name } = machine.metadata;
  if (targetVmNames.includes(name)) {
    const what = `${target.name} already has a VM named ${name}.`;
    yield blocker("NAME_TAKEN", what, `Stop or rename it there; godwit list --host ${target.name} shows it.`);
  }
  const neededBytes = memoryBytes(machine) + MEMORY_MARGIN_BYTES;
  if (target.memory.availableBytes < neededBytes) {
    const [needed, available] = [formatBytes(neededBytes), formatBytes(target.memory.availableBytes)];
    const what = `${target.name} has ${available} of memory available; ${needed} are needed.`;
    yield blocker("MEMORY_SHORT", what, "Free memory there, or choose another host.");
  }
  for (const host of [source, target]) {
    if (host.stateDiskFreeBytes >= STATE_DISK_LOW_BYTES) continue;
    const what = `The state disk of ${host.name} has ${formatBytes(host.stateDiskFreeBytes)} left.`;
    const next = "Make room on it: a migration whose journal cannot be written is refused.";
    const full = host.stateDiskFreeBytes < STATE_DISK_FULL_BYTES;
    yield full ? blocker("STATE_DISK_FULL", what, next) : warning("STATE_DISK_LOW", what, next);
  }
}

function* storage({ machine, target, missingAtTarget }: CheckInput): Generator<Finding> {
  for (const disk of machine.spec.disks) {
    if (disk.shared) continue;
    if (!disk.readonly) {
      const what = `The disk ${disk.path} is writable and not shared: its contents would stay behind.`;
      yield blocker("DISK_NOT_SHARED", what, "Put it on storage both hosts see and mark it shared: true.");
    } else if (!missingAtTarget.files.includes(disk.path)) {
      const what = `The read-only disk ${disk.path} is not shared; nobody compared the two copies.`;
      yield warning("DISK_NOT_COMPARED", what, `See that ${target.name} has the same contents there.`);
    }
  }
  for (const path of missingAtTarget.files) {
    yield blocker("FILE_MISSING", `${target.name} has no ${path}.`, "Put it there, under the same path.");
  }
}

function* network({ target, missingAtTarget }: CheckInput): Generator<Finding> {
  for (const bridge of missingAtTarget.bridges) {
    const next = `Make it there: ip link add ${bridge} type bridge`;
    yield blocker("BRIDGE_MISSING", `${target.name} has no bridge ${bridge}.`, next);
  }
}

function* fetching({ source, target, settings }: CheckInput): Generator<Finding> {
  if (!mayFetch(settings)) return;
  for (const host of [source, target]) {
    if (host.qemu.capabilities.includes("postcopy-ram")) continue;
    const what = `QEMU on ${host.name} cannot do post-copy.`;
    yield blocker("POSTCOPY_UNAVAILABLE", what, "Choose pre-copy, or a QEMU built with post-copy.");
  }
  if (target.postCopyBlocker !== "") {
    const what = `Post-copy cannot arrive on ${target.name}: ${target.postCopyBlocker}`;
    const next = `Run its agent as root, or there: sysctl vm.unprivileged_userfaultfd=1. Pre-copy works without.`;
    yield blocker("POSTCOPY_UNAVAILABLE", what, next);
  }
  if (settings.verifyMemory) {
    const what =
      "Comparing the whole memory needs a moment when both hosts have all of it; post-copy has none.";
    yield blocker("VERIFY_WITH_POSTCOPY", what, "Leave out the memory check, or choose pre-copy.");
  }
}
