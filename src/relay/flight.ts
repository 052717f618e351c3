/**
 * How many bytes may be under way to the other side. Decides from what was acknowledged: twice what the link delivers
 * in one round trip, or in the time that a busy host takes to work a frame off, so that the link is never idle and no long
 * queue grows in it. QEMU takes what we accept for what the link carries; a deep queue would make it pause the guest too
 * early. Time is handed in.
 */
import {
  FLIGHT_BYTES_MAX,
  FLIGHT_BYTES_MIN,
  FLIGHT_MS_MIN,
  PROMPT_FLIGHT_BYTES_MIN,
  PROMPT_QUEUE_MS,
} from "./limits.ts";

const SAMPLE_MS = 20;
/** The best of so many samples counts: an idle guest does not make the link slow. */
const SAMPLES = 10;
const ROUND_TRIP_MS_MIN = 1;
/** Of a frame's time until it is acknowledged: more than this in the link, and the link is what it waited for. */
const LINK_SHARE = 0.5;

export class Flight {
  readonly #frames = new Map<number, { readonly bytes: number; readonly atMs: number }>();
  readonly #rates: number[] = [];
  #unacked = 0;
  #sampleAt = 0;
  #sampleBytes = 0;
  #roundTripMs = Infinity;
  #lastRoundTripMs = 0;
  /** Since the last `takePace`. */
  #pace = { atMs: 0, bytes: 0, frames: 0, latencyMs: 0, wasFull: false };
  /** Somebody waits for a page: the link's queue is kept short, at the price of a gap now and then. */
  prompt = false;

  get unackedBytes(): number {
    return this.#unacked;
  }

  get limitBytes(): number {
    const rate = Math.max(0, ...this.#rates);
    const roundTripMs = Number.isFinite(this.#roundTripMs) ? this.#roundTripMs : 0;
    const wanted =
      rate * (this.prompt ? roundTripMs + PROMPT_QUEUE_MS : Math.max(2 * roundTripMs, FLIGHT_MS_MIN));
    const min = this.prompt ? PROMPT_FLIGHT_BYTES_MIN : FLIGHT_BYTES_MIN;
    return Math.min(FLIGHT_BYTES_MAX, Math.max(min, wanted));
  }

  get hasRoom(): boolean {
    if (this.#unacked < this.limitBytes) return true;
    this.#pace.wasFull = true;
    return false;
  }

  get roundTripMs(): number | null {
    return Number.isFinite(this.#roundTripMs) ? this.#roundTripMs : null;
  }

  /** `number` counts from 1 without gaps; frames may become known in another order. */
  sent(number: number, bytes: number, nowMs: number): void {
    this.#frames.set(number, { bytes, atMs: nowMs });
    this.#unacked += bytes;
  }

  acknowledged(number: number, nowMs: number): void {
    const frame = this.#frames.get(number);
    if (frame === undefined) return;
    const { bytes, atMs } = frame;
    this.#frames.delete(number);
    this.#unacked -= bytes;
    this.#sampleBytes += bytes;
    this.#pace.bytes += bytes;
    this.#pace.frames += 1;
    this.#pace.latencyMs += nowMs - atMs;
    // Pings are few, and on a busy host each of them may have waited.
    this.#roundTripMs = Math.min(this.#roundTripMs, Math.max(ROUND_TRIP_MS_MIN, nowMs - atMs));
    const passedMs = nowMs - this.#sampleAt;
    if (passedMs < SAMPLE_MS) return;
    this.#rates.push(this.#sampleBytes / passedMs);
    if (this.#rates.length > SAMPLES) this.#rates.shift();
    this.#sampleAt = nowMs;
    this.#sampleBytes = 0;
  }

  roundTrip(ms: number): void {
    this.#roundTripMs = Math.min(this.#roundTripMs, ms);
    this.#lastRoundTripMs = ms;
  }

  /**
   * What was carried since the last time. A ping stands in the link's queue like any frame, but is answered before frames
   * are worked off: where it takes as long as they do, it is the link that all wait for.
   */
  takePace(nowMs: number): { bytesPerSecond: number; isLinkBusy: boolean; wasFull: boolean } {
    const { atMs, bytes, frames, latencyMs, wasFull } = this.#pace;
    this.#pace = { atMs: nowMs, bytes: 0, frames: 0, latencyMs: 0, wasFull: false };
    const isLinkBusy = wasFull && frames > 0 && this.#lastRoundTripMs > (latencyMs / frames) * LINK_SHARE;
    return { bytesPerSecond: (bytes / Math.max(1, nowMs - atMs)) * 1000, isLinkBusy, wasFull };
  }
}
