import * as fc from "fast-check";
import { expect, test } from "vitest";

import { migrationOf, progressOf, reportOf } from "../../test/fakes/fixtures.ts";
import { migrateSettings } from "../api/migration.ts";
import { allowedDowntimeMs, endingKey, type MetricsState, samplesOf } from "./metrics.ts";
import { metricsText } from "./metrics-text.ts";

const nothing: MetricsState = {
  host: "a",
  version: "0.1.0",
  qemuVersion: "7.2.0",
  vms: [],
  peers: [],
  certificates: [],
  migrations: [],
  ended: new Map(),
};

const linesOf = async (state: Partial<MetricsState>): Promise<string[]> =>
  (await metricsText(samplesOf({ ...nothing, ...state })))
    .split("\n")
    .filter((line) => !line.startsWith("#"));

const ids = 'vm="db-1",migration="m-1"';

test("an agent without VMs tells what it is, and every way to end stands at zero", async () => {
  const text = await metricsText(samplesOf(nothing));
  expect(text).toContain('godwit_build_info{host="a",version="0.1.0",qemu="7.2.0"} 1\n');
  expect(text).toContain('godwit_vms{state="running"} 0\n');
  expect(text).toContain("# TYPE godwit_migrations_total counter\n");
  expect(text.match(/^godwit_migrations_total\{.*\} 0$/gm)).toHaveLength(5 * 4 * 2);
  expect(text).not.toContain("godwit_migration_phase");
});

test("peers, certificates and VMs are told in base units", async () => {
  const lines = await linesOf({
    vms: [{ state: "running" }, { state: "running" }, { state: "lost" }],
    peers: [
      { name: "b", up: true },
      { name: "c", up: false },
    ],
    certificates: [{ name: "server", expiresAtMs: 1_800_000_000_000 }],
    ended: new Map([[endingKey("failed", "hybrid", "relay"), 2]]),
  });
  expect(lines).toEqual(
    expect.arrayContaining([
      'godwit_vms{state="running"} 2',
      'godwit_vms{state="lost"} 1',
      'godwit_peer_up{peer="b"} 1',
      'godwit_peer_up{peer="c"} 0',
      'godwit_certificate_expiry_time_seconds{certificate="server"} 1800000000',
      'godwit_migrations_total{outcome="failed",technique="hybrid",path="relay"} 2',
    ]),
  );
});

test("a running migration shows its phase as a state set and its progress", async () => {
  const lines = await linesOf({ migrations: [{ view: migrationOf() }] });
  const phases = lines.filter((line) => line.startsWith("godwit_migration_phase"));
  expect(phases).toHaveLength(11);
  expect(phases.filter((line) => line.endsWith(" 1"))).toEqual([
    `godwit_migration_phase{${ids},side="source",phase="copying"} 1`,
  ]);
  expect(lines).toEqual(
    expect.arrayContaining([
      `godwit_migration_active{${ids},side="source"} 1`,
      `godwit_migration_start_time_seconds{${ids},side="source"} 1767323045`,
      `godwit_migration_info{${ids},side="source",source="a",target="b",technique="pre-copy",path=""} 1`,
      `godwit_migration_remaining_bytes{${ids}} ${45 * 2 ** 20}`,
      `godwit_migration_dirty_bytes_per_second{${ids}} ${3 * 2 ** 20}`,
      `godwit_migration_qemu_bytes_total{${ids}} ${300 * 2 ** 20}`,
      `godwit_migration_eta_seconds{${ids}} 8`,
      `godwit_migration_throttle_ratio{${ids}} 0`,
    ]),
  );
  expect(lines.join("\n")).not.toContain("godwit_relay");
});

test("the relay's counters come from the progress", async () => {
  const pages = { zero: 1, raw: 2, compressed: 3, delta: 4, duplicate: 5, unchanged: 6, referenced: 7 };
  const wire = {
    pages,
    qemuBytes: 1000,
    wireBytes: 250,
    ratio: 4,
    relayCpuSeconds: 0.5,
    relayRssBytes: 90_000_000,
    passThrough: "the first frames did not parse",
  };
  const lines = await linesOf({ migrations: [{ view: migrationOf({ progress: progressOf({ wire }) }) }] });
  expect(lines).toEqual(
    expect.arrayContaining([
      `godwit_relay_qemu_bytes_total{${ids}} 1000`,
      `godwit_relay_wire_bytes_total{${ids}} 250`,
      `godwit_relay_cpu_seconds_total{${ids}} 0.5`,
      `godwit_relay_resident_memory_bytes{${ids}} 90000000`,
      `godwit_relay_pass_through{${ids}} 1`,
      `godwit_migration_pages_total{${ids},class="delta"} 4`,
    ]),
  );
});

test("an ended migration carries its report, and what nobody observed is absent", async () => {
  const view = migrationOf({ phase: "done", outcome: "done" });
  const lines = await linesOf({ migrations: [{ view, report: reportOf() }] });
  const of = (name: string): string[] => lines.filter((line) => line.startsWith(`${name}{`));
  expect(of("godwit_migration_active")).toEqual([`godwit_migration_active{${ids},side="source"} 0`]);
  expect(of("godwit_migration_downtime_seconds")).toEqual([
    `godwit_migration_downtime_seconds{${ids},observer="vm"} 0.1235`,
    `godwit_migration_downtime_seconds{${ids},observer="qemu"} 0.118`,
  ]);
  expect(of("godwit_migration_downtime_allowed_seconds")).toEqual([
    `godwit_migration_downtime_allowed_seconds{${ids}} 0.3`,
  ]);
  expect(of("godwit_migration_wire_bytes_total")).toEqual([
    `godwit_migration_wire_bytes_total{${ids},direction="out"} ${530 * 2 ** 20}`,
    `godwit_migration_wire_bytes_total{${ids},direction="in"} ${3 * 2 ** 20}`,
  ]);
  expect(of("godwit_migration_qemu_bytes_total")).toEqual([
    `godwit_migration_qemu_bytes_total{${ids}} ${512 * 2 ** 20}`,
  ]);
  expect(of("godwit_migration_pages_total")).toEqual([
    `godwit_migration_pages_total{${ids},class="zero"} 100`,
    `godwit_migration_pages_total{${ids},class="raw"} 128000`,
  ]);
  expect(of("godwit_migration_disruption_seconds")).toEqual([]);
  expect(of("godwit_migration_degradation_ratio")).toEqual([]);
  expect(of("godwit_migration_verified")).toEqual([`godwit_migration_verified{${ids}} 1`]);
});

test("the allowed pause is the longest any setting permits", () => {
  const allowed = (settings: object): number | undefined =>
    allowedDowntimeMs(migrateSettings.parse(settings));
  expect(allowed({})).toBe(300);
  expect(allowed({ adaptiveDowntimeCeilingMs: 900 })).toBe(900);
  expect(allowed({ policy: { last: [{ do: "force", downtimeCeilingMs: 2000 }] } })).toBe(2000);
  expect(allowed({ technique: "stop-and-copy" })).toBeUndefined();
});

test("whatever a peer or a guest is called, the text stays one sample a line", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "binary", maxLength: 20 }), async (name) => {
      const lines = await linesOf({ peers: [{ name, up: true }] });
      expect(lines.filter((line) => line.startsWith("godwit_peer_up{"))).toHaveLength(1);
    }),
    { numRuns: 50 },
  );
});
