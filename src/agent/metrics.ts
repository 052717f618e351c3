/**
 * What the agent knows, as samples: pure, from views and reports, so that no page loop ever counts for a scrape.
 * What was not observed has no sample, never a zero. Which migrations are still shown is metrics-kept.ts's business.
 */
import { VM_STATES, type VmView } from "../api/host.ts";
import { type MigrateSettings, type MigrationView, OUTCOMES, PHASES, TECHNIQUES } from "../api/migration.ts";
import type { Report } from "../api/report.ts";
import { pageClasses } from "../api/wire.ts";
import type { MetricName } from "./metrics-table.ts";

export interface Sample {
  readonly name: MetricName;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Shown {
  readonly view: MigrationView;
  readonly report?: Report | undefined;
}

export interface MetricsState {
  readonly host: string;
  readonly version: string;
  /** Empty while it is not known. */
  readonly qemuVersion: string;
  readonly vms: readonly Pick<VmView, "state">[];
  readonly peers: readonly { readonly name: string; readonly up: boolean }[];
  readonly certificates: readonly { readonly name: string; readonly expiresAtMs: number }[];
  readonly migrations: readonly Shown[];
  /** By endingKey(). */
  readonly ended: ReadonlyMap<string, number>;
}

const PATHS = ["direct", "relay"] as const;
const PAGE_CLASSES = pageClasses.keyof().options;
type Ending = readonly [outcome: string, technique: string, path: string];

/** A way before it is chosen counts as the one that needs no relay, as in the report. */
export const endingKey = (
  ...[outcome, technique, path = "direct"]: readonly [string, string, string?]
): string => JSON.stringify([outcome, technique, path] satisfies Ending);

/** All of them from the start, so that the first failure is an increase from zero. */
const ENDINGS: readonly Ending[] = OUTCOMES.flatMap((outcome) =>
  TECHNIQUES.flatMap((technique) => PATHS.map((path): Ending => [outcome, technique, path])),
);

/** The longest pause any of the settings permits on purpose; undefined where the technique itself is one pause. */
export function allowedDowntimeMs(settings: MigrateSettings): number | undefined {
  if (settings.technique === "stop-and-copy") return undefined;
  const { initial, convergence, last } = settings.policy;
  const actions = [...initial, ...convergence.map((item) => item.action), ...last];
  const ceilings = actions.map((action) =>
    action.do === "set-downtime" ? action.downtimeMs : action.do === "force" ? action.downtimeCeilingMs : 0,
  );
  return Math.max(settings.maxDowntimeMs, settings.adaptiveDowntimeCeilingMs ?? 0, ...ceilings);
}

type Value = number | null | undefined;

/** A sample where there is a value; finite, because a scrape must not be poisoned by one odd reading. */
const some = (name: MetricName, labels: Readonly<Record<string, string>>, value: Value): Sample[] =>
  typeof value === "number" && Number.isFinite(value) ? [{ name, labels, value }] : [];

const someMs = (name: MetricName, labels: Readonly<Record<string, string>>, ms: Value): Sample[] =>
  some(name, labels, typeof ms === "number" ? ms / 1000 : ms);

export function samplesOf(state: MetricsState): Sample[] {
  const { host, version, qemuVersion: qemu } = state;
  return [
    ...some("godwit_build_info", { host, version, qemu }, 1),
    ...VM_STATES.flatMap((each) =>
      some("godwit_vms", { state: each }, state.vms.filter((vm) => vm.state === each).length),
    ),
    ...state.peers.flatMap(({ name, up }) => some("godwit_peer_up", { peer: name }, up ? 1 : 0)),
    ...state.certificates.flatMap(({ name, expiresAtMs }) =>
      someMs("godwit_certificate_expiry_time_seconds", { certificate: name }, expiresAtMs),
    ),
    ...ENDINGS.flatMap(([outcome, technique, path]) => {
      const count = state.ended.get(endingKey(outcome, technique, path)) ?? 0;
      return some("godwit_migrations_total", { outcome, technique, path }, count);
    }),
    ...state.migrations.flatMap((shown) => [
      ...identity(shown.view),
      ...progressSamples(shown),
      ...relaySamples(shown.view),
      ...(shown.report === undefined ? [] : reportSamples(shown.report)),
    ]),
  ];
}

function identity({ vm, id: migration, side, ...view }: MigrationView): Sample[] {
  const labels = { vm, migration, side };
  const { source, target, technique, path = "" } = view;
  return [
    ...some("godwit_migration_info", { ...labels, source, target, technique, path }, 1),
    ...some("godwit_migration_active", labels, view.outcome === undefined ? 1 : 0),
    ...PHASES.flatMap((phase) =>
      some("godwit_migration_phase", { ...labels, phase }, phase === view.phase ? 1 : 0),
    ),
    ...someMs("godwit_migration_start_time_seconds", labels, Date.parse(view.startedAt)),
  ];
}

function progressSamples({ view: { vm, id: migration, progress }, report }: Shown): Sample[] {
  const labels = { vm, migration };
  // QEMU's last word is in the report; nothing may count backwards on the way there.
  const qemuBytes = Math.max(progress?.sentBytes ?? 0, report?.metrics.bytes.qemu ?? 0);
  const known = progress !== undefined || typeof report?.metrics.bytes.qemu === "number";
  return [
    ...some("godwit_migration_qemu_bytes_total", labels, known ? qemuBytes : null),
    ...some("godwit_migration_progress_ratio", labels, progress?.fraction),
    ...someMs("godwit_migration_elapsed_seconds", labels, progress?.elapsedMs),
    ...someMs("godwit_migration_eta_seconds", labels, progress?.eta?.ms),
    ...some("godwit_migration_round", labels, progress?.round),
    ...some("godwit_migration_ram_bytes", labels, progress?.ramBytes),
    ...some("godwit_migration_remaining_bytes", labels, progress?.remainingBytes),
    ...some("godwit_migration_send_bytes_per_second", labels, progress?.sendBytesPerSecond),
    ...some("godwit_migration_dirty_bytes_per_second", labels, progress?.dirtyBytesPerSecond),
    ...some("godwit_migration_throttle_ratio", labels, (progress?.throttlePercent ?? Number.NaN) / 100),
    ...PAGE_CLASSES.flatMap((kind) => {
      const count = report?.pages[kind] ?? progress?.wire?.pages[kind];
      return some("godwit_migration_pages_total", { ...labels, class: kind }, count);
    }),
  ];
}

function relaySamples({ vm, id: migration, progress }: MigrationView): Sample[] {
  const wire = progress?.wire;
  if (wire === undefined) return [];
  const labels = { vm, migration };
  return [
    ...some("godwit_relay_qemu_bytes_total", labels, wire.qemuBytes),
    ...some("godwit_relay_wire_bytes_total", labels, wire.wireBytes),
    ...some("godwit_relay_cpu_seconds_total", labels, wire.relayCpuSeconds),
    ...some("godwit_relay_resident_memory_bytes", labels, wire.relayRssBytes),
    ...some("godwit_relay_pass_through", labels, wire.passThrough === undefined ? 0 : 1),
  ];
}

function reportSamples({ vm, id: migration, metrics, settings, ...report }: Report): Sample[] {
  const labels = { vm, migration };
  const { downtime_ms: downtime, disruption_ms: disruption, bytes, postcopy } = metrics;
  const { verdict } = report.correctness;
  return [
    ...Object.entries(downtime).flatMap(([observer, ms]) =>
      someMs("godwit_migration_downtime_seconds", { ...labels, observer }, ms),
    ),
    ...someMs("godwit_migration_downtime_allowed_seconds", labels, allowedDowntimeMs(settings)),
    ...Object.entries(disruption).flatMap(([extent, ms]) =>
      someMs("godwit_migration_disruption_seconds", { ...labels, extent }, ms),
    ),
    ...someMs("godwit_migration_total_time_seconds", labels, metrics.total_time_ms),
    ...someMs("godwit_migration_eviction_time_seconds", labels, metrics.eviction_time_ms),
    ...some("godwit_migration_wire_bytes_total", { ...labels, direction: "out" }, bytes.wire_out),
    ...some("godwit_migration_wire_bytes_total", { ...labels, direction: "in" }, bytes.wire_in),
    ...some("godwit_migration_degradation_ratio", labels, metrics.degradation_ratio),
    ...someMs("godwit_migration_postcopy_blocktime_seconds", labels, postcopy?.blocktime_ms),
    ...some("godwit_migration_postcopy_page_requests_total", labels, postcopy?.page_requests),
    ...Object.entries(report.cpu_seconds).flatMap(([process, seconds]) =>
      some("godwit_migration_cpu_seconds_total", { ...labels, process }, seconds),
    ),
    ...some(
      "godwit_migration_verified",
      labels,
      verdict === "not-checked" ? null : verdict === "verified" ? 1 : 0,
    ),
  ];
}
