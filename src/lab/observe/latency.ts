/**
 * The strip of what a client waited: the prober's answers cut into slices, each with its longest wait. Pure; times are
 * milliseconds after the migration was accepted.
 */
import { LATENCY_SLICES_MAX, type ClientLatency } from "../../api/latency.ts";
import type { Answer, Span } from "./figures.ts";

/** Widths a reader can count in, times ten to some power. */
const STEPS = [1, 2, 5];
const SLICE_MS_MIN = 10;

/** The narrowest slice of which the span needs no more than are allowed. */
export function sliceMsOf(lengthMs: number): number {
  for (let power = SLICE_MS_MIN; ; power *= 10) {
    const fitting = STEPS.find((step) => lengthMs / (step * power) <= LATENCY_SLICES_MAX);
    if (fitting !== undefined) return fitting * power;
  }
}

/**
 * A probe that was never answered waited until the next answer of any: whoever asked then was served again. After the last
 * answer it waits still, at the span's end.
 */
export function latencyStrip(answers: readonly Answer[], span: Span, periodMs: number): ClientLatency {
  const lengthMs = Math.max(0, span.toMs - span.fromMs);
  const sliceMs = sliceMsOf(lengthMs);
  const longest: (number | null)[] = Array.from({ length: Math.ceil(lengthMs / sliceMs) }, () => null);
  const note = (sentMs: number, doneMs: number): void => {
    const index = Math.floor((sentMs - span.fromMs) / sliceMs);
    const before = longest[index];
    // Nothing was asked outside the span.
    if (before === undefined || sentMs < span.fromMs) return;
    longest[index] = Math.max(before ?? 0, roundedMs(doneMs - sentMs));
  };
  const inOrder = answers.toSorted((a, b) => a.seq - b.seq);
  for (const [index, answer] of inOrder.entries()) {
    note(answer.sentMs, answer.receivedMs);
    const after = inOrder[index + 1];
    // The prober may have been late itself: as many were sent as numbers are missing, evenly.
    const missing = after === undefined ? 0 : after.seq - answer.seq - 1;
    const stepMs = after === undefined ? periodMs : (after.sentMs - answer.sentMs) / (missing + 1);
    for (let n = 1; n <= missing; n += 1) {
      note(answer.sentMs + n * stepMs, after?.receivedMs ?? span.toMs);
    }
  }
  const last = inOrder.at(-1);
  for (let sentMs = (last?.sentMs ?? span.toMs) + periodMs; sentMs < span.toMs; sentMs += periodMs) {
    note(sentMs, span.toMs);
  }
  return { slice_ms: sliceMs, longest_ms: longest };
}

/** Finer than a microsecond nobody measured. */
const roundedMs = (ms: number): number => Math.max(0, Math.round(ms * 1000) / 1000);
