/**
 * What the choice of the way is made from: a burst to the other agent, how busy both hosts are, and a sample of the
 * guest's pages. Bounded in bytes and time; what could not be measured is left out. What it means is decided in
 * migration/wire-choice.ts.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { constants, zstdCompressSync } from "node:zlib";

import type { MachineSpec } from "../api/machine.ts";
import { peerRoutes } from "../api/peer-routes.ts";
import type { ContentSample, Cpus, LinkBurst } from "../migration/wire-choice.ts";
import type { QemuProcess } from "../qemu/types.ts";
import { nowMs } from "./clock.ts";
import { ramRanges } from "./memory-digest.ts";
import type { Peer } from "./peers.ts";
import { printOf } from "../relay/kept-prints.ts";

const KIB = 2 ** 10;
/**
 * Sent one after the other until time or bytes are over: 1 MiB in all, half of it on 100 Mbit/s. The first wakes the
 * connection up.
 */
const BURSTS_BYTES = [64 * KIB, 192 * KIB, 256 * KIB, 512 * KIB] as const;
const BURST_MS_MAX = 30;
/** No burst is waited for longer: a link that carries less than 64 KiB in this time is as good as down. */
const BURST_TIMEOUT_MS = 2_000;

const PAGE_BYTES = 4096;
/** 256 pages in 32 runs, evenly over the guest's memory: each run holds QEMU's main loop for some 10 µs. */
const SAMPLE_RUNS = 32;
const SAMPLE_RUN_PAGES = 8;
const SAMPLE_MS_MAX = 400;
const SAMPLE_TIMEOUT_MS = 1_000;

/** A link that was measured so lately is not measured again: it takes 0.02 s on 1 Gbit/s, 0.1 s on 100 Mbit/s. */
const LINK_KNOWN_MS = 60_000;
/** Unless a host had less than this left: agents that wait for a processor make any link look slow. */
const CALM_CPUS = 0.5;

export interface MeasuredLink {
  readonly link: LinkBurst;
  readonly target: Cpus;
  /** A relay waits there (relay/standby.ts). */
  readonly relayWaits: boolean;
}

interface Remembered extends MeasuredLink {
  readonly atMs: number;
  readonly isCalm: boolean;
}

/** By the peer it was measured to. */
const last = new WeakMap<Peer, Remembered>();

/** When something was sent to measure it last: costs nothing, and may be long ago. */
export const lastMeasured = (peer: Peer): MeasuredLink | undefined => last.get(peer);

/** Undefined: the peer did not answer in time. How busy it is, is always asked anew; `source`: how busy this host is. */
export async function measureLink(peer: Peer, source: Cpus): Promise<MeasuredLink | undefined> {
  const call = async (bytes: number) => {
    const startMs = nowMs();
    const answer = await peer.call(peerRoutes.peerLink, {
      body: Buffer.alloc(bytes),
      timeoutMs: BURST_TIMEOUT_MS,
    });
    return { answer, ms: nowMs() - startMs };
  };
  try {
    // As busy as it is before it has to start QEMU.
    const first = await call(1);
    const { cpus, idleCpus, relayWaits } = first.answer;
    const target: Cpus = { cpus, idleCpus };
    const known = last.get(peer);
    if (known?.isCalm === true) {
      const ageMs = nowMs() - known.atMs;
      if (ageMs < LINK_KNOWN_MS) return { link: { ...known.link, ageMs }, target, relayWaits };
    }
    // The shortest of a few tiny ones is the round trip with both agents' own time in it.
    let roundTripMs = first.ms;
    for (let times = 1; times < 3; times += 1) roundTripMs = Math.min(roundTripMs, (await call(1)).ms);
    let [bytes, ms] = [0, 0];
    const bursts: Burst[] = [];
    for (const size of BURSTS_BYTES) {
      const { ms: tookMs } = await call(size);
      bursts.push({ bytes: size, ms: tookMs });
      bytes += size;
      ms += tookMs;
      if (ms >= BURST_MS_MAX) break;
    }
    const measured = {
      link: { bytesPerSecond: rateOf(bursts, roundTripMs), bytes, ms, roundTripMs },
      target,
      relayWaits,
      atMs: nowMs(),
      isCalm: Math.min(source.idleCpus, idleCpus) >= CALM_CPUS,
    };
    last.set(peer, measured);
    return measured;
  } catch {
    return undefined;
  }
}

interface Burst {
  readonly bytes: number;
  readonly ms: number;
}

/**
 * Over all bursts but the one that woke the connection up. Never from one alone: a shaper lets a first tenth of a megabyte
 * through at once, and a round trip that happened to be slow would make any burst look instant. For the same reason the
 * round trips explain at most half of the time.
 */
export function rateOf(bursts: readonly Burst[], roundTripMs: number): number {
  const counted = bursts.length > 1 ? bursts.slice(1) : bursts;
  const bytes = counted.reduce((sum, burst) => sum + burst.bytes, 0);
  const ms = counted.reduce((sum, burst) => sum + burst.ms, 0);
  const carriedMs = Math.max(ms - counted.length * roundTripMs, ms / 2);
  return carriedMs > 0 ? (bytes / carriedMs) * 1000 : 0;
}

/** Undefined: QEMU did not give its pages. */
export async function sampleContent(
  qemu: QemuProcess,
  machine: MachineSpec,
  accelerator: "kvm" | "tcg",
  known: ReadonlySet<bigint>,
): Promise<ContentSample | undefined> {
  // A plain file, not a pipe: QEMU's main loop would wait for ever on a pipe whose reader has died.
  const file = join(qemu.handle.dir, "sample.bin");
  const runBytes = SAMPLE_RUN_PAGES * PAGE_BYTES;
  const pages: Buffer[] = [];
  try {
    const endMs = nowMs() + SAMPLE_MS_MAX;
    for (const val of sampleAddresses(ramRanges(machine, accelerator), runBytes)) {
      const args = { val, size: runBytes, filename: file };
      await qemu.qmp.execute("pmemsave", args, { timeoutMs: SAMPLE_TIMEOUT_MS });
      const bytes = readFileSync(file);
      for (let at = 0; at + PAGE_BYTES <= bytes.byteLength; at += PAGE_BYTES)
        pages.push(bytes.subarray(at, at + PAGE_BYTES));
      if (nowMs() > endMs) break;
    }
  } catch {
    if (pages.length === 0) return undefined;
  } finally {
    rmSync(file, { force: true });
  }
  return contentOf(pages, known);
}

function sampleAddresses(ranges: ReturnType<typeof ramRanges>, runBytes: number): number[] {
  const total = ranges.reduce((sum, { bytes }) => sum + bytes, 0);
  const addresses: number[] = [];
  for (let run = 0; run < SAMPLE_RUNS; run += 1) {
    let at = Math.floor(((run + 0.5) / SAMPLE_RUNS) * total);
    for (const { start, bytes } of ranges) {
      if (at < bytes) {
        const page = Math.floor(Math.min(at, Math.max(0, bytes - runBytes)) / PAGE_BYTES);
        addresses.push(start + page * PAGE_BYTES);
        break;
      }
      at -= bytes;
    }
  }
  return addresses;
}

const ZERO = Buffer.alloc(PAGE_BYTES);

/**
 * Compressed together, as both a relay and multifd do: their streams know what came before. `known`: prints of what the
 * relays' page store holds.
 */
export function contentOf(pages: readonly Buffer[], known: ReadonlySet<bigint>): ContentSample {
  const filled = pages.filter((page) => !page.equals(ZERO));
  const distinct = [...new Map(filled.map((page) => [page.toString("latin1"), page])).values()];
  const raw = Buffer.concat(filled);
  const squeezed = (input: Buffer): number =>
    zstdCompressSync(input, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }).byteLength;
  return {
    pages: pages.length,
    filledPages: filled.length,
    distinctPages: distinct.length,
    knownPages: known.size === 0 ? 0 : filled.filter((page) => known.has(printOf(page))).length,
    compressedShare: raw.byteLength === 0 ? null : squeezed(raw) / raw.byteLength,
  };
}
