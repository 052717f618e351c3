/** QEMU's side of the effects: capabilities, parameters and commands, the same few calls for every technique. */
import type { MigrateSettings } from "../api/migration.ts";
import type { Found } from "../migration/source-types.ts";
import { tlsCreds } from "../qemu/args.ts";
import { mayFetch } from "../qemu/check.ts";
import type { Qmp } from "../qmp/types.ts";
import { CodedError } from "../std/errors.ts";
import type { NativeWire, WirePlan } from "../api/wire.ts";
import type { MigrationRecord } from "./store.ts";

/** QEMU's limit for downtime-limit: with a guest that is already paused nothing is left to wait for. */
const DOWNTIME_LIMIT_MAX_MS = 2_000_000;
const BREAK_POLL_MS = 20;
const BREAK_POLLS = 250;
/** Less than half a second of it, and much more than goes between a look and the break. */
const BREAK_BYTES_PER_SECOND = 200_000;
const LAST_BYTES = 65_536;
const RECOVERY_POLL_MS = 100;
const RECOVERY_POLLS = 150;

const wantsThrottle = (settings: MigrateSettings): boolean =>
  actions(settings).some((each) => each.do === "throttle");

const actions = ({ policy }: MigrateSettings): MigrateSettings["policy"]["last"] => [
  ...policy.initial,
  ...policy.convergence.map((item) => item.action),
  ...policy.last,
];

/** TLS credentials of this host, made anew so that a changed certificate is read. */
export async function setCredentials(
  qmp: Qmp,
  tlsDir: string,
  endpoint: "client" | "server",
): Promise<string> {
  const id = `godwit-${endpoint}`;
  await qmp.execute("object-del", { id }).catch(() => {}); // there was none
  await qmp.execute("object-add", { ...tlsCreds(tlsDir, endpoint), id });
  return id;
}

async function setCapabilities(qmp: Qmp, wanted: Readonly<Record<string, boolean>>): Promise<void> {
  const known = new Set((await qmp.execute("query-migrate-capabilities", {})).map((each) => each.capability));
  const capabilities = Object.entries(wanted)
    .filter(([capability, state]) => known.has(capability) || state)
    .map(([capability, state]) => ({ capability, state }));
  await qmp.execute("migrate-set-capabilities", { capabilities });
}

/** Between the relays there is TLS already, and they must read what passes; a VM that came another way has other settings. */
async function tlsParameters(
  qmp: Qmp,
  { path }: WirePlan,
  tlsDir: string,
  side: { readonly endpoint: "server" } | { readonly endpoint: "client"; readonly target: string },
): Promise<Readonly<Record<string, unknown>>> {
  if (path === "relay") return { "tls-creds": "", "tls-hostname": "" };
  const credentials = await setCredentials(qmp, tlsDir, side.endpoint);
  return { "tls-creds": credentials, ...(side.endpoint === "client" ? { "tls-hostname": side.target } : {}) };
}

const NO_NATIVE: NativeWire = { channels: 0, compression: "none", level: 1, xbzrleCacheBytes: 0 };
export const PLAIN: WirePlan = { path: "direct", native: NO_NATIVE };

/** Records older than the choice went directly. */
export const planOf = ({ wire }: Pick<MigrationRecord, "wire">): WirePlan => wire?.plan ?? PLAIN;

const nativeOf = (plan: WirePlan): NativeWire => (plan.path === "direct" ? plan.native : NO_NATIVE);

/** Named even where they are off: a VM may have come with others. */
const nativeCapabilities = ({
  channels,
  xbzrleCacheBytes,
}: NativeWire): Readonly<Record<string, boolean>> => ({
  multifd: channels > 0,
  xbzrle: xbzrleCacheBytes > 0,
});

function nativeParameters(native: NativeWire): Readonly<Record<string, unknown>> {
  const { channels, compression, level, xbzrleCacheBytes } = native;
  return {
    ...(channels === 0 ? {} : { "multifd-channels": channels, "multifd-compression": compression }),
    ...(channels === 0 || compression === "none" ? {} : { [`multifd-${compression}-level`]: level }),
    ...(xbzrleCacheBytes === 0 ? {} : { "xbzrle-cache-size": xbzrleCacheBytes }),
  };
}

export async function prepareIncoming(
  qmp: Qmp,
  settings: MigrateSettings,
  plan: WirePlan,
  tlsDir: string,
): Promise<void> {
  const native = nativeOf(plan);
  const tls = await tlsParameters(qmp, plan, tlsDir, { endpoint: "server" });
  await setCapabilities(qmp, {
    events: true,
    "late-block-activate": true,
    "postcopy-ram": mayFetch(settings),
    ...nativeCapabilities(native),
  });
  if (mayFetch(settings)) {
    // Stall times need a kernel that reports faulting threads; the migration does not.
    await setCapabilities(qmp, { "postcopy-blocktime": true }).catch(() => {});
  }
  await qmp.execute("migrate-set-parameters", { ...tls, ...nativeParameters(native) });
}

export interface Outgoing {
  readonly settings: MigrateSettings;
  readonly plan: WirePlan;
  readonly tlsDir: string;
  readonly target: string;
  readonly uri: string;
  readonly downtimeLimitMs: number;
}

/** In whole bytes per second, as QEMU takes it; 0 means no limit. */
export const askedBandwidth = (settings: MigrateSettings): number =>
  Math.round(settings.bandwidthBytesPerSecond ?? 0);

/** A relay keeps the cap, whatever QEMU's pages become. Its small intake is what QEMU feels of the link. */
const qemuBandwidth = (settings: MigrateSettings, { path }: WirePlan): number =>
  path === "relay" ? 0 : askedBandwidth(settings);

export async function startCopy(qmp: Qmp, out: Outgoing): Promise<void> {
  const tls = await tlsParameters(qmp, out.plan, out.tlsDir, { endpoint: "client", target: out.target });
  const native = nativeOf(out.plan);
  await setCapabilities(qmp, {
    events: true,
    // Without it "completed" only means that the bytes left this process.
    "return-path": true,
    "postcopy-ram": mayFetch(out.settings),
    "auto-converge": wantsThrottle(out.settings),
    ...nativeCapabilities(native),
    "late-block-activate": false,
  });
  const bandwidth = qemuBandwidth(out.settings, out.plan);
  await qmp.execute("migrate-set-parameters", {
    "max-bandwidth": out.settings.technique === "post-copy" ? beforeSwitch(bandwidth) : bandwidth,
    // QEMU answers no page request for the rest of a 100 ms window whose bytes are spent: a push held below what was
    // asked for costs the guest more than the queues it would fill (docs/benchmarks.md).
    "max-postcopy-bandwidth": bandwidth,
    "downtime-limit": Math.max(1, Math.round(out.downtimeLimitMs)),
    ...tls,
    ...nativeParameters(native),
    // auto-converge cannot be switched on during a migration, so it starts as good as off.
    ...(wantsThrottle(out.settings)
      ? { "cpu-throttle-initial": 1, "cpu-throttle-increment": 1, "max-cpu-throttle": 1 }
      : {}),
  });
  await qmp.execute("migrate", { uri: out.uri });
}

/** What a pure post-copy sends before its switch stands in the queues in front of the device state. */
const BEFORE_SWITCH_BYTES_PER_SECOND = 2 ** 20;

const beforeSwitch = (askedBytesPerSecond: number): number =>
  askedBytesPerSecond === 0
    ? BEFORE_SWITCH_BYTES_PER_SECOND
    : Math.min(askedBytesPerSecond, BEFORE_SWITCH_BYTES_PER_SECOND);

export const tcpUri = (address: string, port: number): string =>
  address.includes(":") ? `tcp:[${address}]:${port}` : `tcp:${address}:${port}`;
export const unixUri = (path: string): string => `unix:${path}`;

export async function setDowntime(qmp: Qmp, downtimeMs: number): Promise<void> {
  await qmp.execute("migrate-set-parameters", {
    "downtime-limit": Math.min(DOWNTIME_LIMIT_MAX_MS, Math.max(1, Math.round(downtimeMs))),
  });
}

export async function pauseForSwitchover(qmp: Qmp): Promise<void> {
  await qmp.execute("stop", {});
  // The guest writes no more: whatever remains goes now, without waiting for an estimate.
  await setDowntime(qmp, DOWNTIME_LIMIT_MAX_MS);
}

/**
 * Ends the connection of a fetch that nobody runs on; the source then waits in postcopy-paused. QEMU 7.2 hangs for good
 * when it loses the connection after its last page: so it is slowed down, and a rest that small is let go to its end.
 */
export async function breakFetch(qmp: Qmp): Promise<void> {
  for (let tries = 0; tries < BREAK_POLLS; tries += 1) {
    const { status, ram } = await qmp.execute("query-migrate", {});
    if (status !== "postcopy-active") return;
    if (tries === 0)
      await qmp.execute("migrate-set-parameters", { "max-postcopy-bandwidth": BREAK_BYTES_PER_SECOND });
    else if (ram !== undefined && ram.remaining > LAST_BYTES)
      await qmp.execute("migrate-pause", {}, { outOfBand: true }).catch(() => {}); // it may have broken by itself
    await new Promise((resolve) => setTimeout(resolve, BREAK_POLL_MS));
  }
}

/** `migrate` with resume answers before it connects, and a failed try leaves no event: so its outcome is polled. */
export async function awaitRecovery(qmp: Qmp): Promise<void> {
  for (let tries = 0; tries < RECOVERY_POLLS; tries += 1) {
    const { status } = await qmp.execute("query-migrate", {});
    if (status === "postcopy-active" || status === "completed") return;
    if (status === "postcopy-paused" && tries > 0)
      throw new CodedError("PEER_UNREACHABLE", {
        host: "the target's QEMU",
        why: "it could not be reached again",
      });
    await new Promise((resolve) => setTimeout(resolve, RECOVERY_POLL_MS));
  }
  throw new CodedError("PEER_STALLED", {
    host: "the target's QEMU",
    waited: `${(RECOVERY_POLLS * RECOVERY_POLL_MS) / 1000} s`,
  });
}

const THROTTLE_STEPS = 3;

/**
 * QEMU's own steps (20 %, then 10 at a time, one in two seconds at best) take longer than most policies wait, and an open-loop
 * guest with time to spare writes as fast as before until the last of them. So the ceiling the policy names is reached
 * in three. The increment counts from the 1 % that auto-converge was armed with.
 */
export async function throttle(qmp: Qmp, percentMax: number): Promise<void> {
  const step = Math.ceil(percentMax / THROTTLE_STEPS);
  await qmp.execute("migrate-set-parameters", {
    "throttle-trigger-threshold": 50,
    "cpu-throttle-initial": step,
    "cpu-throttle-increment": step,
    "max-cpu-throttle": percentMax,
  });
}

/** What an agent finds after it was away. */
export async function inspect(qmp: Qmp): Promise<Found> {
  const { running } = await qmp.execute("query-status", {});
  const { status } = await qmp.execute("query-migrate", {});
  return { qemu: "alive", guestRuns: running, copy: copyState(status) };
}

function copyState(status: string | undefined): Extract<Found, { qemu: "alive" }>["copy"] {
  switch (status) {
    case undefined:
    case "none":
      return "none";
    case "completed":
      return "completed";
    case "postcopy-active":
    case "postcopy-recover":
    case "postcopy-recover-setup":
      return "fetching";
    case "postcopy-paused":
      return "fetch-broken";
    case "failed":
    case "cancelled":
      return "ended";
    default:
      return "active";
  }
}
