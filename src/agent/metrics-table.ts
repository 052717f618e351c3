/**
 * Every metric the agent exposes, named once: type, labels, help. Base units, names as Prometheus wants them.
 * docs/observability.md is compared with this table by a test; where the values come from is metrics.ts's business.
 */
export interface Family {
  readonly type: "gauge" | "counter";
  readonly labels: readonly string[];
  readonly help: string;
}

const gauge = (labels: readonly string[], help: string): Family => ({ type: "gauge", labels, help });
const counter = (labels: readonly string[], help: string): Family => ({ type: "counter", labels, help });
const ONE = ["vm", "migration"];

export const families = {
  godwit_build_info: gauge(["host", "version", "qemu"], "Always 1; which host, godwit and QEMU this is."),
  godwit_vms: gauge(["state"], "VMs this agent holds, by state."),
  godwit_peer_up: gauge(["peer"], "1 if the peer's agent answers over TLS."),
  godwit_certificate_expiry_time_seconds: gauge(
    ["certificate"],
    "When a certificate on disk expires, Unix time.",
  ),
  godwit_migrations_total: counter(
    ["outcome", "technique", "path"],
    "Migrations that ended with this host as the source, since the agent started.",
  ),

  godwit_migration_info: gauge(
    [...ONE, "side", "source", "target", "technique", "path"],
    "Always 1; what a migration is. path is empty until it is chosen.",
  ),
  godwit_migration_active: gauge([...ONE, "side"], "1 while it has no outcome, 0 once it has."),
  godwit_migration_phase: gauge([...ONE, "side", "phase"], "1 for the phase it is in, 0 for every other."),
  godwit_migration_start_time_seconds: gauge([...ONE, "side"], "When it was accepted, Unix time."),

  godwit_migration_progress_ratio: gauge(ONE, "Share of the whole migration that is done; never decreases."),
  godwit_migration_elapsed_seconds: gauge(ONE, "Time since it was accepted, as of its newest reading."),
  godwit_migration_eta_seconds: gauge(ONE, "Expected time left; absent while nothing can be said."),
  godwit_migration_round: gauge(ONE, "Round of pre-copy."),
  godwit_migration_ram_bytes: gauge(ONE, "Size of the guest's memory."),
  godwit_migration_remaining_bytes: gauge(ONE, "Memory still to move."),
  godwit_migration_send_bytes_per_second: gauge(ONE, "What QEMU writes to the stream."),
  godwit_migration_dirty_bytes_per_second: gauge(ONE, "What the guest writes to its memory, page by page."),
  godwit_migration_throttle_ratio: gauge(ONE, "Share of the vCPUs' time taken from the guest."),
  godwit_migration_qemu_bytes_total: counter(ONE, "What QEMU says it wrote."),
  godwit_migration_wire_bytes_total: counter(
    [...ONE, "direction"],
    "Interface counters of the source, whole migration; only from the final report.",
  ),
  godwit_migration_pages_total: counter([...ONE, "class"], "Page records by what became of them."),

  godwit_migration_downtime_seconds: gauge(
    [...ONE, "observer"],
    "The guest's pause as this observer saw it.",
  ),
  godwit_migration_downtime_allowed_seconds: gauge(
    ONE,
    "The longest pause its settings allow; absent for stop-and-copy.",
  ),
  godwit_migration_disruption_seconds: gauge(
    [...ONE, "extent"],
    "Disruption: first to last (span), degraded only (sum).",
  ),
  godwit_migration_total_time_seconds: gauge(
    ONE,
    "Accepted until nothing of the VM is needed at the source.",
  ),
  godwit_migration_eviction_time_seconds: gauge(ONE, "Accepted until the source's resources are free."),
  godwit_migration_degradation_ratio: gauge(ONE, "Throughput lost during the migration."),
  godwit_migration_postcopy_blocktime_seconds: gauge(ONE, "How long vCPUs waited for pages."),
  godwit_migration_postcopy_page_requests_total: counter(ONE, "Pages the guest had to wait for."),
  godwit_migration_cpu_seconds_total: counter(
    [...ONE, "process"],
    "CPU time of the migration; only from the final report.",
  ),
  godwit_migration_verified: gauge(ONE, "1 verified, 0 a check failed; absent where nothing was checked."),

  godwit_relay_qemu_bytes_total: counter(ONE, "Stream bytes this host's relay took from QEMU."),
  godwit_relay_wire_bytes_total: counter(ONE, "What the relay sent for them: frames, without TLS and TCP."),
  godwit_relay_cpu_seconds_total: counter(ONE, "CPU time of this host's relay."),
  godwit_relay_resident_memory_bytes: gauge(ONE, "Resident memory of this host's relay."),
  godwit_relay_pass_through: gauge(ONE, "1 if bytes pass as QEMU wrote them, 0 while the relay encodes."),
} as const satisfies Readonly<Record<string, Family>>;

export type MetricName = keyof typeof families;
