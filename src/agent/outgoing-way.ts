/**
 * The source's end of the way its bytes go: measures and chooses it, brings its relay up, and names what QEMU connects
 * to. Which way is better is decided in migration/wire-choice.ts.
 */
import { memoryBytes } from "../api/machine.ts";
import type { MigrateSettings } from "../api/migration.ts";
import { contradictions } from "../migration/contradictions.ts";
import { type ChosenTechnique, chooseTechnique, isQuiet } from "../migration/technique-choice.ts";
import {
  type Chosen,
  chooseWire,
  type ContentSample,
  type Cpus,
  type LinkBurst,
  needsMeasuring,
  type WireFacts,
} from "../migration/wire-choice.ts";
import type { QemuProcess } from "../qemu/types.ts";
import { keptPrints } from "../relay/kept-prints.ts";
import type { RelayTarget } from "../relay/config.ts";
import { mayFetch } from "../qemu/check.ts";
import { madeBootStore } from "./boot-stores.ts";
import { askForPages, contentOf, samplePages } from "./content-sample.ts";
import { guestOf } from "./guest-book.ts";
import { keptStoreFile } from "./kept-stores.ts";
import { planOf, tcpUri, unixUri } from "./qemu-migration.ts";
import type { Looks } from "./memory-change.ts";
import type { Run, SourceRecord } from "./source-ports.ts";
import { storeFiles } from "./store-files.ts";

export const outgoingUri = (run: Run): string => {
  const { address, port } = run.record.evidence;
  return planOf(run.record).path === "relay" ? unixUri(run.relay.qemuSocket) : tcpUri(address, port);
};

/** What the relays towards this peer would find in their page store, by its prints: as they begin (relay/kept-store.ts). */
function knownTo({ deps: { config }, record: { peer, origin } }: Run): ReadonlySet<bigint> {
  const kept = keptStoreFile(config, peer, () => {});
  const known = kept === undefined ? new Set<bigint>() : keptPrints(kept);
  if (known.size > 0) return known;
  const boot = madeBootStore(config, origin.machine);
  return boot === undefined ? known : keptPrints(boot);
}

export interface Measured {
  readonly source: Cpus;
  readonly relaysWait: boolean;
  readonly link: LinkBurst | undefined;
  /** Where pages were sampled already. */
  readonly content?: ContentSample | undefined;
}

/** Before anything else is begun on either host: what is busy is slow to answer. Never rejects; mostly asks nobody anything. */
export async function measureWay({ record, deps: { cpu, peer, links, standby } }: Run): Promise<Measured> {
  const source = cpu.idle();
  const { targetState: there } = record.origin;
  const relaysWait = standby?.waits === true && there?.relayWaits === true;
  const mustKnow = needsMeasuring(record.settings) && there !== undefined;
  const link = mustKnow ? await links.linkTo(peer, there) : links.lastOf(peer);
  return { source, relaysWait, link };
}

/** Never rejects, and takes no longer than its samples' limits. */
export async function chooseWay(
  run: Run,
  qemu: QemuProcess | undefined,
  measured: Measured,
): Promise<Chosen> {
  const content = measured.content ?? (await sampled(run, qemu));
  return chooseWire(wireFacts(run, { ...measured, content }));
}

/**
 * A quiet guest is known by the short look that is over already; of another one that nobody looked at before the rate
 * matters, so it is looked at longer. Never rejects.
 */
export async function decideTechnique(
  run: Run,
  qemu: QemuProcess,
  measured: Measured,
  looks: Looks,
): Promise<{ readonly technique: ChosenTechnique; readonly content: ContentSample | undefined }> {
  const cannotFetch = whyNotFetch(run.record);
  const content = await sampled(run, qemu);
  const facts = { ...wireFacts(run, { ...measured, content }), cannotFetch };
  let change = looks.change();
  if (cannotFetch === undefined && !isQuiet({ ...facts, change })) {
    await run.wait(LOOK_MS - looks.ms);
    change = looks.change();
  }
  return { technique: chooseTechnique({ ...facts, change }), content };
}

/** With 1024 pages of 256 MiB, and half of a link of 1 Gbit/s dirtied, the rate is then known to a sixth. */
const LOOK_MS = 150;

function whyNotFetch({ settings, origin }: SourceRecord): string | undefined {
  const [against] = contradictions(fetching(settings));
  if (against !== undefined) return "what was asked for beside it needs rounds of copying";
  if (origin.capabilities?.includes("postcopy-ram") !== true) return "not both QEMUs can fetch";
  return origin.postCopyBlocker === "" ? undefined : "no fetch can arrive at the target";
}

/** A timeout cannot end a fetch. */
export const fetching = ({ timeoutMs: _timeoutMs, ...settings }: MigrateSettings): MigrateSettings => ({
  ...settings,
  technique: "post-copy",
});

async function sampled(run: Run, qemu: QemuProcess | undefined): Promise<ContentSample | undefined> {
  const { settings, origin } = run.record;
  if (!needsMeasuring(settings) || qemu === undefined) return undefined;
  const guest = guestOf({ name: run.record.vm, ...origin }, qemu.handle.pid);
  const sample =
    run.deps.guests.sampleOf(guest) ??
    samplePages(guest) ??
    (await askForPages(qemu, origin.machine, origin.accelerator));
  return sample && contentOf(sample, knownTo(run));
}

function wireFacts(
  { record: { settings, origin } }: Run,
  { source, relaysWait, link, content }: Measured,
): WireFacts {
  return {
    settings,
    ramBytes: memoryBytes(origin.machine),
    link,
    target: origin.targetState,
    content,
    source,
    relaysWait,
    freeBytes: origin.freeBytes ?? 0,
    oneMachine: origin.oneMachine ?? false,
    capabilities: new Set(origin.capabilities ?? []),
    compressions: new Set(origin.compressions ?? []),
  };
}

/**
 * Starts this side's relay, beside a target that gets ready to listen, and waits until both relays know each other. A
 * target that listens without a relay needs none here either.
 */
export async function startOutgoingRelay(
  run: Run,
  recovery: boolean,
  listening: Promise<RelayTarget & { readonly instead?: string | undefined }>,
): Promise<void> {
  const plan = planOf(run.record);
  if (plan.path !== "relay") return;
  const { settings, peer } = run.record;
  const { config, log } = run.deps;
  const { machine } = run.record.origin;
  const begins = recovery || !plan.encode ? {} : await storeFiles({ config, log, peer, machine });
  const starting = run.relay.start((qemuSocket) => ({
    side: "source",
    id: run.id,
    tlsDir: config.tlsDir,
    peerName: peer,
    qemuSocket,
    capabilities: { postcopyRam: mayFetch(settings) },
    bandwidthBytesPerSecond: settings.bandwidthBytesPerSecond ?? null,
    ...(plan.linkBytesPerSecond === undefined ? {} : { linkBytesPerSecond: plan.linkBytesPerSecond }),
    codec: "auto",
    encode: plan.encode,
    ...begins,
    recovery,
    connections: plan.connections,
  }));
  const [relay, { address, port, instead }] = await Promise.all([starting, listening]);
  if (instead !== undefined) return run.relay.end();
  await relay.dial({ address, port });
  await run.relay.connected();
}
