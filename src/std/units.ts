/**
 * Quantities with units, as people write them. A bare number is refused with the units named: "100" has meant
 * MiB/s, KiB/s, Mbit/s and bytes in the tools operators come from.
 */
import { CodedError } from "./errors.ts";

const BYTES = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};
/** A small b is a bit, as in "100Mbps"; only rates are counted in bits. */
const BITS = { bit: 1, kbit: 1e3, Kbit: 1e3, Mbit: 1e6, Gbit: 1e9, kb: 1e3, Kb: 1e3, Mb: 1e6, Gb: 1e9 };
const MILLISECONDS = { us: 1e-3, ms: 1, s: 1e3, m: 60e3, min: 60e3, h: 3600e3, d: 24 * 3600e3 };

function split(text: string, quantity: string, examples: string): { value: number; unit: string } {
  const match = /^\s*(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z/]+)\s*$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new CodedError("UNIT_MISSING", { text, quantity, examples });
  }
  return { value: Number(match[1]), unit: match[2] };
}

/** "512MiB" → bytes. */
export function parseBytes(text: string): number {
  const examples = "512MiB or 4GiB";
  const { value, unit } = split(text, "size", examples);
  const factor = Object.hasOwn(BYTES, unit) ? BYTES[unit as keyof typeof BYTES] : undefined;
  if (factor === undefined) throw new CodedError("UNIT_MISSING", { text, quantity: "size", examples });
  return Math.round(value * factor);
}

/** "100MiB/s" or "1Gbit/s" → bytes per second. */
export function parseRate(text: string): number {
  const examples = "100MiB/s or 1Gbit/s";
  const { value, unit } = split(text, "rate", examples);
  const base = unit.replace(/\/s$|ps$/, "");
  if (base === unit) throw new CodedError("UNIT_MISSING", { text, quantity: "rate", examples });
  if (Object.hasOwn(BITS, base)) return Math.round((value * BITS[base as keyof typeof BITS]) / 8);
  if (Object.hasOwn(BYTES, base)) return Math.round(value * BYTES[base as keyof typeof BYTES]);
  throw new CodedError("UNIT_MISSING", { text, quantity: "rate", examples });
}

/** "300ms", "0.3s", "10m", "30d" → milliseconds. */
export function parseDuration(text: string): number {
  const examples = "300ms, 10s or 5m";
  const { value, unit } = split(text, "duration", examples);
  const factor = Object.hasOwn(MILLISECONDS, unit)
    ? MILLISECONDS[unit as keyof typeof MILLISECONDS]
    : undefined;
  if (factor === undefined) throw new CodedError("UNIT_MISSING", { text, quantity: "duration", examples });
  return value * factor;
}

const scaled = (value: number, units: readonly string[], step: number): string => {
  let index = 0;
  let rest = value;
  while (rest >= step && index < units.length - 1) {
    rest /= step;
    index += 1;
  }
  return `${rest >= 100 || index === 0 ? Math.round(rest) : Number(rest.toPrecision(3))} ${units[index]}`;
};

/** 1234567 → "1.18 MiB". */
export const formatBytes = (bytes: number): string => scaled(bytes, ["B", "KiB", "MiB", "GiB", "TiB"], 1024);

/** Bytes per second → "11.9 MiB/s". */
export const formatRate = (bytesPerSecond: number): string => `${formatBytes(bytesPerSecond)}/s`;

/** Milliseconds → "0.4 ms", "23 ms", "3.2 s", "2 m 05 s". */
export function formatDuration(ms: number): string {
  if (ms < 10) return `${Number(ms.toFixed(1))} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(1))} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, "0")} s`;
}
