/** QEMU's side of the effects: capabilities, parameters and commands, the same few calls for every technique. */
import type { MigrateSettings } from "../api/migration.ts";
import type { Found } from "../migration/source-types.ts";
import { tlsCreds } from "../qemu/args.ts";
import { mayFetch } from "../qemu/check.ts";
import type { Qmp } from "../qmp/types.ts";
import { CodedError } from "../std/errors.ts";
import { firstPush } from "../migration/push-rate.ts";

/** QEMU's limit for downtime-limit: with a guest that is already paused nothing is left to wait for. */
const DOWNTIME_LIMIT_MAX_MS = 2_000_000;
const BREAK_POLL_MS = 20;
const BREAK_POLLS = 250;
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

export async function prepareIncoming(qmp: Qmp, settings: MigrateSettings, tlsDir: string): Promise<void> {
  const credentials = await setCredentials(qmp, tlsDir, "server");
  await setCapabilities(qmp, {
    events: true,
    "late-block-activate": true,
    "postcopy-ram": mayFetch(settings),
  });
  if (mayFetch(settings)) {
    // Stall times need a kernel that reports faulting threads; the migration does not.
    await setCapabilities(qmp, { "postcopy-blocktime": true }).catch(() => {});
  }
  await qmp.execute("migrate-set-parameters", { "tls-creds": credentials });
}

export interface Outgoing {
  readonly settings: MigrateSettings;
  readonly tlsDir: string;
  readonly target: string;
  readonly address: string;
  readonly port: number;
  readonly downtimeLimitMs: number;
}

/** In whole bytes per second, as QEMU takes it; 0 means no limit. */
export const askedBandwidth = (settings: MigrateSettings): number =>
  Math.round(settings.bandwidthBytesPerSecond ?? 0);

export async function startCopy(qmp: Qmp, out: Outgoing): Promise<void> {
  const credentials = await setCredentials(qmp, out.tlsDir, "client");
  await setCapabilities(qmp, {
    events: true,
    // Without it "completed" only means that the bytes left this process.
    "return-path": true,
    "postcopy-ram": mayFetch(out.settings),
    "auto-converge": wantsThrottle(out.settings),
    "late-block-activate": false,
  });
  const bandwidth = askedBandwidth(out.settings);
  await qmp.execute("migrate-set-parameters", {
    // What a pure post-copy sends before its switch would stand in the way of the device state.
    "max-bandwidth": out.settings.technique === "post-copy" ? firstPush(bandwidth) : bandwidth,
    "max-postcopy-bandwidth": firstPush(bandwidth),
    "downtime-limit": Math.max(1, Math.round(out.downtimeLimitMs)),
    "tls-creds": credentials,
    "tls-hostname": out.target,
    // auto-converge cannot be switched on during a migration, so it starts as good as off.
    ...(wantsThrottle(out.settings)
      ? { "cpu-throttle-initial": 1, "cpu-throttle-increment": 1, "max-cpu-throttle": 1 }
      : {}),
  });
  await qmp.execute("migrate", { uri: `tcp:${hostPort(out.address, out.port)}` });
}

const hostPort = (address: string, port: number): string =>
  address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;

export async function setDowntime(qmp: Qmp, downtimeMs: number): Promise<void> {
  await qmp.execute("migrate-set-parameters", {
    "downtime-limit": Math.min(DOWNTIME_LIMIT_MAX_MS, Math.max(1, Math.round(downtimeMs))),
  });
}

export async function setPush(qmp: Qmp, bytesPerSecond: number): Promise<void> {
  await qmp.execute("migrate-set-parameters", { "max-postcopy-bandwidth": bytesPerSecond });
}

export async function pauseForSwitchover(qmp: Qmp): Promise<void> {
  await qmp.execute("stop", {});
  // The guest writes no more: whatever remains goes now, without waiting for an estimate.
  await setDowntime(qmp, DOWNTIME_LIMIT_MAX_MS);
}

/** Ends the connection of a fetch; the source then waits in postcopy-paused. */
export async function breakFetch(qmp: Qmp): Promise<void> {
  const status = async (): Promise<string | undefined> => (await qmp.execute("query-migrate", {})).status;
  if ((await status()) !== "postcopy-active") return;
  await qmp.execute("migrate-pause", {}, { outOfBand: true }).catch(() => {}); // it may have broken by itself
  for (let tries = 0; tries < BREAK_POLLS && (await status()) === "postcopy-active"; tries += 1) {
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

/** QEMU's own first step and increment (20 and 10 %), under the ceiling the policy names. */
export async function throttle(qmp: Qmp, percentMax: number): Promise<void> {
  await qmp.execute("migrate-set-parameters", {
    "throttle-trigger-threshold": 50,
    "cpu-throttle-initial": Math.min(20, percentMax),
    "cpu-throttle-increment": 10,
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
