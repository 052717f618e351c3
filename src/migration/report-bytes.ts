/**
 * The bytes of a report: what the source's interface counted against what QEMU says it wrote. The wire carries
 * QEMU's bytes and the overhead of TCP, IP and TLS, so it must show a little more, never less.
 */
import { formatBytes } from "../std/units.ts";

/** One reading of the source's interface, as the source sees it. */
export interface InterfaceCounters {
  readonly outBytes: number;
  readonly inBytes: number;
}

/** QEMU's own account of a migration; each figure only if that QEMU gave it. */
export interface QemuStats {
  readonly downtimeMs?: number;
  readonly transferredBytes?: number;
  readonly zeroPages?: number;
  readonly normalPages?: number;
  readonly blocktimeMs?: number;
  readonly pageRequests?: number;
}

type Counters = { readonly start: InterfaceCounters; readonly end: InterfaceCounters } | null;

/** About 3.5 % is overhead at MTU 1500; beyond this share something else is in one of the two counts. */
const OVERHEAD_SHARE_MAX = 0.05;

const wentBack = ({ start, end }: NonNullable<Counters>): boolean =>
  end.outBytes < start.outBytes || end.inBytes < start.inBytes;

export function wireBytes(counters: Counters): { wire_out: number | null; wire_in: number | null } {
  if (counters === null || wentBack(counters)) return { wire_out: null, wire_in: null };
  const { start, end } = counters;
  return { wire_out: end.outBytes - start.outBytes, wire_in: end.inBytes - start.inBytes };
}

export function notesOnBytes(
  counters: Counters,
  /** `besidesBytes`: what else may cross meanwhile. */
  sent: { readonly by: string; readonly bytes: number | undefined; readonly besidesBytes?: number },
): string[] {
  if (counters === null) return [];
  if (wentBack(counters)) return ["bytes.wire is unknown: the interface's counters started again meanwhile."];
  const wire = counters.end.outBytes - counters.start.outBytes;
  const { by, bytes: written, besidesBytes = 0 } = sent;
  if (written === undefined || written === 0) return [];
  const counts = `bytes.wire_out counts ${formatBytes(wire)}, ${by} says ${formatBytes(written)}`;
  if (wire < written) return [`${counts}: the wire cannot carry less, some bytes went another way.`];
  if (wire <= written * (1 + OVERHEAD_SHARE_MAX) + besidesBytes) return [];
  return [`${counts}: more than 5 % apart, something else was sent over the interface.`];
}
