/** Guests of a lab: starts one on a host and watches it from then on; ends it wherever it is now. */
import { connectAgent } from "../api/client.ts";
import { type MachineSpec, machineSpec } from "../api/machine.ts";
import { CodedError } from "../std/errors.ts";
import { ensureGuest } from "./guest/image.ts";
import { USER_NETWORK, guestMachine } from "./guest/spec.ts";
import { guestPorts, isWorkloadName, workloadNames } from "./guest/workloads.ts";
import { GUESTS_MAX, GUEST_BRIDGE, clientAddress, guestAddress, guestMac } from "./names.ts";
import { clientUp, namespaceDown, namespacesOf } from "./network.ts";
import { waitForEcho } from "./observe/client-place.ts";
import { type ObserverSettings, startObserver, stopObserver } from "./observe/processes.ts";
import { type LabGuest, type LabState, changeLab, guestOf, hostOf, loadLab } from "./state.ts";

/** Debian's kernel is up in some seconds under TCG; a machine with other work on it takes longer. */
const READY_DEADLINE_MS = 90_000;
const RUN_TIMEOUT_MS = 60_000;
const PREFIX = 24;
/** Without root, guests of one host share its address; none of the services' ports meet at this distance. */
const PORTS_APART = 100;
const SERVICES = [
  { protocol: "udp", port: guestPorts.echo },
  { protocol: "tcp", port: guestPorts.writer },
  { protocol: "tcp", port: guestPorts.redis },
] as const;

export interface GuestRequest extends ObserverSettings {
  readonly name: string;
  readonly host: string;
  readonly workload: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly memory?: string;
  readonly vcpus?: number;
  readonly readyDeadlineMs?: number;
}

/** Starts a guest and its observers; a guest that does not come up is removed again. */
export async function runGuest(lab: LabState, request: GuestRequest): Promise<LabGuest> {
  const host = hostOf(lab, request.host);
  const { workload } = request;
  if (!isWorkloadName(workload)) {
    throw new CodedError("USAGE", {
      problem: `There is no workload "${workload}". There are: ${workloadNames.join(", ")}.`,
    });
  }
  const files = await ensureGuest();
  await forgetEnded(lab, request.name);
  const guest = reserve(lab, request);
  try {
    if (guest.client.netns !== null && guest.number > 0) await clientUp(lab.id, lab.subnet, guest.number);
    const machine = guestMachine({
      name: guest.name,
      workload,
      params: guest.params,
      ...(request.memory === undefined ? {} : { memory: request.memory }),
      ...(request.vcpus === undefined ? {} : { vcpus: request.vcpus }),
      address: guest.address,
      prefix: PREFIX,
      clientAddress: guest.client.address,
      mac: guestMac(lab.subnet, guest.number),
      bridge: lab.rootless ? USER_NETWORK : GUEST_BRIDGE,
      files,
    });
    await connectAgent(host.socket).run({
      body: reachable(machine, guest, lab.rootless),
      timeoutMs: RUN_TIMEOUT_MS,
    });
    const deadlineMs = request.readyDeadlineMs ?? READY_DEADLINE_MS;
    if (!(await waitForEcho(guest, deadlineMs))) {
      throw new CodedError("TOOL_FAILED", {
        command: `Guest ${guest.name}`,
        why: `it did not answer within ${deadlineMs / 1000} s; its console is in ${host.stateDir}`,
      });
    }
    return await startObserver(lab, guest, request);
  } catch (error) {
    await stopGuest(lab, guest.name).catch(() => undefined);
    throw error;
  }
}

/** Behind QEMU's own NAT a guest is reached by forwards only. */
function reachable(machine: MachineSpec, guest: LabGuest, rootless: boolean): MachineSpec {
  if (!rootless) return machine;
  const forward = SERVICES.map(({ protocol, port }) => ({
    protocol,
    hostPort: port + guest.portOffset,
    guestPort: port,
  }));
  const { spec } = machine;
  return machineSpec.parse({
    ...machine,
    spec: { ...spec, nics: spec.nics.map((nic) => ({ ...nic, forward })) },
  });
}

/** A guest that was ended past the lab, or died, must not keep its name. */
async function forgetEnded(lab: LabState, name: string): Promise<void> {
  if (!loadLab(lab.name).guests.some((one) => one.name === name)) return;
  if ((await holders(lab, name)).length === 0) await stopGuest(lab, name);
}

/** Sockets of the agents that have a VM of this name, in whatever state. */
async function holders(lab: LabState, name: string): Promise<string[]> {
  const found: string[] = [];
  for (const { socket } of lab.hosts) {
    const vms = await connectAgent(socket).vms({ query: { scope: "host" } });
    if (vms.some((vm) => vm.name === name)) found.push(socket);
  }
  return found;
}

/** Takes the next free number, in the record, before anything is started with it. */
function reserve(lab: LabState, request: GuestRequest): LabGuest {
  let reserved: LabGuest | null = null;
  changeLab(lab.name, (now) => {
    if (now.guests.some((one) => one.name === request.name)) {
      throw new CodedError("VM_EXISTS", { vm: request.name, host: `lab ${lab.name}` });
    }
    const taken = new Set(now.guests.map((one) => one.number));
    let number = 0;
    while (taken.has(number)) number += 1;
    if (number >= GUESTS_MAX)
      throw new CodedError("USAGE", { problem: `A lab has at most ${GUESTS_MAX} guests.` });
    reserved = freshGuest(now, request, number);
    return { ...now, guests: [...now.guests, reserved] };
  });
  if (reserved === null) throw new CodedError("INTERNAL", { problem: "no guest was reserved" });
  return reserved;
}

function freshGuest(lab: LabState, request: GuestRequest, number: number): LabGuest {
  const own = !lab.rootless && number > 0;
  const address = lab.rootless ? hostOf(lab, request.host).address : guestAddress(lab.subnet, number);
  return {
    name: request.name,
    host: request.host,
    workload: request.workload,
    params: { ...request.params },
    address,
    number,
    client: own
      ? { netns: `${lab.client.netns ?? ""}${number}`, address: clientAddress(lab.subnet, number) }
      : lab.client,
    portOffset: lab.rootless ? number * PORTS_APART : 0,
    reachableAt: lab.rootless
      ? [address, ...lab.hosts.map((host) => host.address).filter((one) => one !== address)]
      : [address],
    observer: null,
  };
}

/** Ends a guest's observers, then the guest on every host that has it, and forgets it. */
export async function stopGuest(lab: LabState, name: string): Promise<void> {
  const guest = guestOf(loadLab(lab.name), name);
  await stopObserver(lab, guest);
  for (const socket of await holders(lab, name)) {
    await connectAgent(socket).stop({ params: { name }, timeoutMs: RUN_TIMEOUT_MS });
  }
  const { netns } = guest.client;
  if (guest.number > 0 && netns !== null && (await namespacesOf(lab.id)).includes(netns)) {
    await namespaceDown(netns);
  }
  changeLab(lab.name, (now) => ({ ...now, guests: now.guests.filter((one) => one.name !== name) }));
}

/** The host whose agent owns the guest and has it running, or null: it may be moving. */
export async function whereIs(lab: LabState, name: string): Promise<string | null> {
  for (const host of lab.hosts) {
    const vms = await connectAgent(host.socket).vms({ query: { scope: "host" } });
    const vm = vms.find((one) => one.name === name);
    if (vm !== undefined && vm.owner === host.name && vm.state !== "incoming") return host.name;
  }
  return null;
}
