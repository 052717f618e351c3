/**
 * QEMU's own ways to carry a direct stream, from our flags and from virsh's. virsh's `--compressed` alone is XBZRLE, as
 * in libvirt; `--parallel` is multifd with QEMU's two channels.
 */
import { parseBytes } from "../std/units.ts";
import { contradiction, parseCount, usage } from "./flag-words.ts";
import type { MigrateFlags } from "./migrate-flags.ts";

const PARALLEL_CHANNELS = 2;
/** QEMU's default. */
const XBZRLE_CACHE_BYTES = 64 * 2 ** 20;

/** Undefined when no flag speaks of it. */
export function nativeFromFlags(flags: MigrateFlags): Record<string, unknown> | undefined {
  const channels = channelsOf(flags);
  const { compression, level } = compressionOf(flags);
  const xbzrleCacheBytes = cacheOf(flags);
  const named = { channels, compression, level, xbzrleCacheBytes };
  const given = Object.entries(named).filter(([, value]) => value !== undefined);
  if (given.length === 0) return undefined;
  if (flags.wire === "relay") throw contradiction("--wire relay", firstFlag(flags));
  return Object.fromEntries(given);
}

const FLAGS = [
  ["--multifd-channels", "multifdChannels"],
  ["--compression", "compression"],
  ["--xbzrle-cache", "xbzrleCache"],
  ["--parallel", "parallel"],
  ["--parallel-connections", "parallelConnections"],
  ["--compressed", "compressed"],
  ["--comp-methods", "compMethods"],
  ["--comp-zlib-level", "compZlibLevel"],
  ["--comp-zstd-level", "compZstdLevel"],
  ["--comp-xbzrle-cache", "compXbzrleCache"],
] as const;

const firstFlag = (flags: MigrateFlags): string =>
  FLAGS.find(([, key]) => flags[key] !== undefined)?.[0] ?? "QEMU's own settings";

function channelsOf(flags: MigrateFlags): number | undefined {
  const { multifdChannels, parallelConnections, parallel } = flags;
  if (multifdChannels !== undefined && parallelConnections !== undefined)
    throw contradiction("--multifd-channels", "--parallel-connections");
  if (multifdChannels !== undefined) return parseCount("--multifd-channels", multifdChannels);
  if (parallelConnections !== undefined) return parseCount("--parallel-connections", parallelConnections);
  return parallel === true ? PARALLEL_CHANNELS : undefined;
}

interface Compression {
  readonly compression?: string;
  readonly level?: number;
}

function compressionOf(flags: MigrateFlags): Compression {
  const { compression, compMethods } = flags;
  if (compression !== undefined && compMethods !== undefined)
    throw contradiction("--compression", "--comp-methods");
  const level = virshLevel(flags);
  if (compression !== undefined) {
    const [method = "", ownLevel] = compression.split(":", 2);
    if (!["none", "zlib", "zstd"].includes(method) || (ownLevel !== undefined && !/^\d{1,2}$/.test(ownLevel)))
      throw usage(`--compression ${compression} is not known.`, "Use none, zlib:LEVEL or zstd:LEVEL.");
    return { compression: method, ...(ownLevel === undefined ? level : { level: Number(ownLevel) }) };
  }
  if (compMethods === undefined || compMethods === "xbzrle") return level;
  if (compMethods === "zlib" || compMethods === "zstd") return { compression: compMethods, ...level };
  throw usage(
    `--comp-methods ${compMethods} is not known here.`,
    "Use xbzrle, or zlib or zstd (with --parallel); QEMU removed mt.",
  );
}

function virshLevel({ compZlibLevel, compZstdLevel }: MigrateFlags): Compression {
  if (compZlibLevel !== undefined && compZstdLevel !== undefined)
    throw contradiction("--comp-zlib-level", "--comp-zstd-level");
  const text = compZlibLevel ?? compZstdLevel;
  return text === undefined ? {} : { level: parseCount("--comp-zlib-level, --comp-zstd-level", text) };
}

function cacheOf(flags: MigrateFlags): number | undefined {
  const { xbzrleCache, compXbzrleCache, compressed, compMethods } = flags;
  if (xbzrleCache !== undefined && compXbzrleCache !== undefined)
    throw contradiction("--xbzrle-cache", "--comp-xbzrle-cache");
  const text = xbzrleCache ?? compXbzrleCache;
  if (text !== undefined) return parseBytes(text);
  const isXbzrle = compMethods === "xbzrle" || (compressed === true && compMethods === undefined);
  return isXbzrle ? XBZRLE_CACHE_BYTES : undefined;
}
