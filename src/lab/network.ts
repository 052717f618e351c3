/**
 * Makes and removes a lab's networks: one namespace per host and one for the switch with the client in it. The
 * machine's own namespace gets nothing. What the numbers of a shaped link are is decided in shape.ts.
 *
 *   gw-ID-a  mig0 ──── gwIDm0 ┐              ┌ gwIDm1 ──── mig0  gw-ID-b
 *                             ├ bridge gwIDm ┤                             migration network, shaped both ways
 *            guests ── gwIDg0 ┐              ┌ gwIDg1 ── guests
 *                             └ bridge gwIDg ┘ with the client's address   guest network, not shaped
 */
import { CodedError } from "../std/errors.ts";
import { NETEM_LIMIT_PACKETS, hasNetem, startDelay } from "./delay.ts";
import { ensurePrograms } from "./guest/programs.ts";
import {
  GUEST_BRIDGE,
  type LabPlace,
  MIGRATION_INTERFACE,
  clientAddress,
  hostNamespace,
  migrationAddress,
  namespacePrefix,
  netNamespace,
  switchInterface,
} from "./names.ts";
import { killAll, processesIn } from "./processes.ts";
import { inside, run } from "./run.ts";
import { type Shape, shapeOf, shapingFault, tbfArguments } from "./shape.ts";
import type { LabState } from "./state.ts";

const UPLINK = "uplink";
/** A killed process may have started another just before; a fork bomb is not waited for. */
const SWEEPS_MAX = 20;

export interface LinkRequest {
  readonly bytesPerSecond: number | null;
  readonly delayMs: number;
}

const BRIDGE = ["type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"].join(" ");

/** Feeds lines to one `ip`: a lab is some thirty of them, and each start of a process costs more than the line. */
const ip = (netns: string, lines: readonly string[]): Promise<string> =>
  run("ip", ["-n", netns, "-batch", "-"], { input: `${lines.join("\n")}\n` });

/** Without IPv6 no namespace chatters by itself, so that interface counters count migrations. */
async function quiet(netns: string): Promise<void> {
  const [command, args] = inside(netns, [
    "sh",
    "-c",
    "for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done",
  ]);
  // A kernel without IPv6 has no such files, and is quiet.
  await run(command, args).catch(() => undefined);
}

/**
 * What stands unsent in a socket's buffer waits in every pause and before every page asked for: the kernel's default
 * holds megabytes. A setting of the host, recommended for real ones too (docs/operations.md).
 */
export const NOTSENT_LOWAT_BYTES = 131_072;

async function shortQueues(netns: string): Promise<void> {
  const [command, args] = inside(netns, [
    "sh",
    "-c",
    `echo ${NOTSENT_LOWAT_BYTES} >/proc/sys/net/ipv4/tcp_notsent_lowat`,
  ]);
  await run(command, args);
}

export async function networkUp(
  place: LabPlace,
  hosts: readonly string[],
  link: LinkRequest,
): Promise<LabState["link"]> {
  const { id, subnet } = place;
  const net = netNamespace(id);
  const bridges = { m: switchInterface(id, "m"), g: switchInterface(id, "g") };
  await run("ip", ["netns", "add", net]);
  await quiet(net);
  await ip(net, [
    "link set lo up",
    `link add ${bridges.m} ${BRIDGE}`,
    `link add ${bridges.g} ${BRIDGE}`,
    `link set ${bridges.m} up`,
    `link set ${bridges.g} up`,
    `addr add ${clientAddress(subnet)}/24 dev ${bridges.g}`,
  ]);
  for (const [index, host] of hosts.entries()) {
    const netns = hostNamespace(id, host);
    const port = { m: switchInterface(id, "m", index), g: switchInterface(id, "g", index) };
    await run("ip", ["netns", "add", netns]);
    await quiet(netns);
    await shortQueues(netns);
    await ip(netns, [
      "link set lo up",
      `link add ${MIGRATION_INTERFACE} type veth peer name ${port.m} netns ${net}`,
      `link add ${UPLINK} type veth peer name ${port.g} netns ${net}`,
      `link add ${GUEST_BRIDGE} ${BRIDGE}`,
      `link set ${UPLINK} master ${GUEST_BRIDGE}`,
      `link set ${GUEST_BRIDGE} up`,
      `link set ${UPLINK} up`,
      `addr add ${migrationAddress(subnet, index, false)}/24 dev ${MIGRATION_INTERFACE}`,
      `link set ${MIGRATION_INTERFACE} up`,
    ]);
    await ip(net, [
      `link set ${port.m} master ${bridges.m}`,
      `link set ${port.g} master ${bridges.g}`,
      `link set ${port.m} up`,
      `link set ${port.g} up`,
    ]);
  }
  return linkUp(place, hosts, link);
}

/** Shapes both ends of every host's cable and delays what hosts send. */
async function linkUp(
  place: LabPlace,
  hosts: readonly string[],
  link: LinkRequest,
): Promise<LabState["link"]> {
  const { id } = place;
  const net = netNamespace(id);
  const delayed = link.delayMs > 0;
  const netem = delayed && (await hasNetem(net, switchInterface(id, "m", 0)));
  const shape = link.bytesPerSecond === null ? null : shapeOf(link.bytesPerSecond, link.delayMs);
  for (const [index, host] of hosts.entries()) {
    const netns = hostNamespace(id, host);
    await shapeEnd(netns, MIGRATION_INTERFACE, shape, netem ? link.delayMs : 0);
    await shapeEnd(net, switchInterface(id, "m", index), shape, 0);
  }
  if (delayed && !netem) await forwardWithDelay(place, hosts, link.delayMs);
  return {
    rateBytesPerSecond: link.bytesPerSecond,
    delayMs: link.delayMs,
    shaped: shape !== null,
    note: linkNote(shape, link.delayMs, netem),
  };
}

function linkNote(shape: Shape | null, delayMs: number, netem: boolean): string {
  const rate =
    shape === null
      ? "Not shaped: this measures the machine's memory, not a link."
      : `tbf on both ends of every host's cable, each direction on its own; burst ${shape.burstBytes} B, queue ` +
        `${shape.queueBytes} B. Control traffic shares the link with migrations. The hosts keep tcp_notsent_lowat at 128 KiB.`;
  if (delayMs === 0) return rate;
  const how = netem ? "netem" : "the lab's own forwarder of frames (the kernel has no netem)";
  return `${rate} Every frame between hosts is delayed once, by ${how}; the guest network is not delayed.`;
}

async function shapeEnd(netns: string, device: string, shape: Shape | null, delayMs: number): Promise<void> {
  const tc = (args: readonly string[]): Promise<string> => run("tc", ["-n", netns, ...args]);
  if (delayMs > 0) {
    const netem = ["netem", "delay", `${delayMs}ms`, "limit", String(NETEM_LIMIT_PACKETS)];
    await tc(["qdisc", "add", "dev", device, "root", "handle", "1:", ...netem]);
  }
  if (shape === null) return;
  await run("ip", ["-n", netns, "link", "set", device, "gso_max_size", String(shape.gsoMaxBytes)]);
  const where = delayMs > 0 ? ["parent", "1:1", "handle", "10:"] : ["root", "handle", "1:"];
  await tc(["qdisc", "add", "dev", device, ...where, ...tbfArguments(shape)]);
  const fault = shapingFault(await tc(["-s", "-j", "qdisc", "show", "dev", device]), shape);
  if (fault !== "") {
    throw new CodedError("TOOL_FAILED", { command: `tc on ${device} in ${netns}`, why: fault });
  }
}

/** Takes each host's port out of the bridge and puts a tap in its place; the program joins the two. */
async function forwardWithDelay(place: LabPlace, hosts: readonly string[], delayMs: number): Promise<void> {
  const { id, folder } = place;
  const net = netNamespace(id);
  const { delay: binary } = await ensurePrograms();
  const cables = hosts.map((_, index) => ({
    port: switchInterface(id, "m", index),
    tap: switchInterface(id, "d", index),
  }));
  await ip(
    net,
    cables.flatMap(({ port, tap }) => [
      `link set ${port} nomaster`,
      `tuntap add dev ${tap} mode tap vnet_hdr`,
      `link set ${tap} master ${switchInterface(id, "m")}`,
      `link set ${tap} up`,
    ]),
  );
  await startDelay({ netns: net, binary, folder, delayMs, cables });
}

/** A client of its own for a further guest, on the guest network. */
export async function clientUp(id: string, subnet: number, guest: number): Promise<string> {
  const netns = netNamespace(id, guest);
  const port = switchInterface(id, "c", guest);
  await run("ip", ["netns", "add", netns]);
  await quiet(netns);
  await ip(netns, [
    "link set lo up",
    `link add ${UPLINK} type veth peer name ${port} netns ${netNamespace(id)}`,
    `addr add ${clientAddress(subnet, guest)}/24 dev ${UPLINK}`,
    `link set ${UPLINK} up`,
  ]);
  await ip(netNamespace(id), [`link set ${port} master ${switchInterface(id, "g")}`, `link set ${port} up`]);
  return netns;
}

/** Namespaces of a lab by their names, whether or not any record of it is left. */
export async function namespacesOf(id: string): Promise<string[]> {
  const text = await run("ip", ["netns", "list"]);
  return text
    .split("\n")
    .map((line) => line.split(" ")[0] ?? "")
    .filter((name) => name.startsWith(namespacePrefix(id)))
    .sort();
}

/** Ends everything in the lab's namespaces and removes them. @returns what there was. */
export async function networkDown(id: string): Promise<string[]> {
  const removed: string[] = [];
  for (const netns of await namespacesOf(id)) removed.push(await namespaceDown(netns));
  return removed;
}

export async function namespaceDown(netns: string): Promise<string> {
  let killed = 0;
  for (let sweep = 0; sweep < SWEEPS_MAX; sweep += 1) {
    const found = await processesIn(netns);
    if (found.length === 0) break;
    killed += await killAll(found);
  }
  await run("ip", ["netns", "del", netns]);
  return `namespace ${netns}${killed === 0 ? "" : ` with ${killed} process(es)`}`;
}
