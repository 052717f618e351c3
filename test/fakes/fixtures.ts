/** Values every route could answer, each parsed with its own schema, so that a fixture cannot drift from the API. */
import { checkReport, hostFacts, vmView } from "../../src/api/host.ts";
import { machineSpec } from "../../src/api/machine.ts";
import {
  migrateSettings,
  migrationView,
  type MigrationView,
  type Progress,
} from "../../src/api/migration.ts";
import { report, type Report } from "../../src/api/report.ts";

const MIB = 2 ** 20;

export const machine = machineSpec.parse({
  apiVersion: "godwit/v1",
  kind: "Machine",
  metadata: { name: "db-1" },
  spec: { memory: "512MiB" },
});

export const vm = (host = "a") =>
  vmView.parse({
    name: "db-1",
    host,
    state: "running",
    owner: host,
    memoryBytes: 512 * MIB,
    vcpus: 1,
    accelerator: "tcg",
    pid: 4242,
    migration: null,
    machine,
    consoleSocket: "/nonexistent/console.sock",
  });

export const progressOf = (parts: Partial<Progress> = {}): Progress => ({
  phase: "copying",
  fraction: 0.48,
  round: 2,
  ramBytes: 512 * MIB,
  sentBytes: 300 * MIB,
  remainingBytes: 45 * MIB,
  sendBytesPerSecond: 20 * MIB,
  dirtyBytesPerSecond: 3 * MIB,
  throttlePercent: 0,
  elapsedMs: 12_000,
  eta: { ms: 8000, lowMs: 6000, highMs: 12_000 },
  limit: "The link limits it.",
  ...parts,
});

export const migrationOf = (parts: Partial<MigrationView> = {}): MigrationView =>
  migrationView.parse({
    id: "m-1",
    vm: "db-1",
    source: "a",
    target: "b",
    technique: "pre-copy",
    side: "source",
    phase: "copying",
    startedAt: "2026-01-02T03:04:05.000Z",
    progress: progressOf(),
    ...parts,
  });

/** Everything on one page. */
export const pageWith = <T>(...items: T[]) => ({ items, next: null });

export const checked = (ok: boolean) =>
  checkReport.parse({
    vm: "db-1",
    source: "a",
    target: "b",
    ok,
    findings: ok
      ? []
      : [
          {
            code: "QEMU_OLDER",
            severity: "blocker",
            what: "b has an older QEMU.",
            next: "Upgrade QEMU on b.",
          },
        ],
  });

export const facts = hostFacts.parse({
  name: "a",
  godwit: "0.1.0",
  bootId: "boot-1",
  qemu: {
    binary: "qemu-system-x86_64",
    version: "7.2.0",
    accelerators: ["tcg"],
    machines: ["pc-q35-7.2"],
    cpus: ["qemu64"],
    capabilities: ["postcopy-ram"],
  },
  memory: { totalBytes: 4096 * MIB, availableBytes: 2048 * MIB },
  vcpus: 2,
  postCopyBlocker: "",
  stateDiskFreeBytes: 10_000 * MIB,
});

export const reportOf = (parts: Partial<Report> = {}): Report =>
  report.parse({
    apiVersion: "godwit/v1",
    kind: "Report",
    id: "m-1",
    vm: "db-1",
    source: "a",
    target: "b",
    technique: "pre-copy",
    finished_by: "pre-copy",
    path: "direct",
    reason: "The remaining memory fitted into the pause asked for.",
    outcome: "done",
    code: null,
    started_at: "2026-01-02T03:04:05.000Z",
    settings: migrateSettings.parse({}),
    environment: {
      qemu_source: "7.2.0",
      qemu_target: "7.2.0",
      accelerator: "tcg",
      ram_bytes: 512 * MIB,
      vcpus: 1,
      link: { shaped: true, rate_bytes_per_second: 25e6, delay_ms: 1, note: "" },
    },
    clock: { boot_id: "boot-1", t0_ns: "1000" },
    timeline: [
      { atMs: 0, host: "a", what: "accepted" },
      { atMs: 3021.4, host: "a", what: "STOP" },
      { atMs: 3144.9, host: "b", what: "RESUME" },
    ],
    metrics: {
      downtime_ms: { vm: 123.5, client: null, guest: null, qemu: 118 },
      disruption_ms: { span: null, sum: null },
      total_time_ms: 3200,
      eviction_time_ms: 3300,
      bytes: { wire_out: 530 * MIB, wire_in: 3 * MIB, qemu: 512 * MIB, storage: null, side: null },
      degradation_ratio: null,
      postcopy: null,
    },
    rounds: [
      {
        round: 1,
        startMs: 100,
        durationMs: 2500,
        sentBytes: 500 * MIB,
        dirtyBytes: 12 * MIB,
        dirtyBytesPerSecond: 4 * MIB,
        sendBytesPerSecond: 200 * MIB,
        throttlePercent: 0,
      },
    ],
    pages: {
      zero: 100,
      raw: 128_000,
      compressed: null,
      delta: null,
      duplicate: null,
      unchanged: null,
      referenced: null,
    },
    cpu_seconds: { relay_source: null, relay_target: null, qemu_source: 1.2, qemu_target: 0.8 },
    forecast: null,
    correctness: {
      verdict: "verified",
      checks: [{ what: "one owner", ok: true, detail: "a stopped before b ran" }],
      lost_acknowledged_writes: null,
    },
    notes: [],
    ...parts,
  });
