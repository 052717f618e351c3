/**
 * How many bytes may be under way to the other side. Decides from what was acknowledged: twice what the link delivers
 * in one round trip, so that the link is never idle and no queue grows in it. QEMU takes what we accept for what the
 * link carries; a deep queue would make it pause the guest too early. Time is handed in.
 */
import { FLIGHT_BYTES_MAX, FLIGHT_BYTES_MIN } from "./limits.ts";

const SAMPLE_MS = 20;
/** The best of so many samples counts: an idle guest does not make the link slow. */
const SAMPLES = 10;

export class Flight {
  readonly #frames = new Map<number, number>();
  readonly #rates: number[] = [];
  #unacked = 0;
  #sampleAt = 0;
  #sampleBytes = 0;
  #roundTripMs = Infinity;

  get unackedBytes(): number {
    return this.#unacked;
  }

  get limitBytes(): number {
    const rate = Math.max(0, ...this.#rates);
    const wanted = Number.isFinite(this.#roundTripMs) ? 2 * rate * this.#roundTripMs : 0;
    return Math.min(FLIGHT_BYTES_MAX, Math.max(FLIGHT_BYTES_MIN, wanted));
  }

  get hasRoom(): boolean {
    return this.#unacked < this.limitBytes;
  }

  get roundTripMs(): number | null {
    return Number.isFinite(this.#roundTripMs) ? this.#roundTripMs : null;
  }

  /** `number` counts from 1 without gaps; frames may become known in another order. */
  sent(number: number, bytes: number): void {
    this.#frames.set(number, bytes);
    this.#unacked += bytes;
  }

  acknowledged(number: number, nowMs: number): void {
    const bytes = this.#frames.get(number) ?? 0;
    this.#frames.delete(number);
    this.#unacked -= bytes;
    this.#sampleBytes += bytes;
    const passedMs = nowMs - this.#sampleAt;
    if (passedMs < SAMPLE_MS) return;
    this.#rates.push(this.#sampleBytes / passedMs);
    if (this.#rates.length > SAMPLES) this.#rates.shift();
    this.#sampleAt = nowMs;
    this.#sampleBytes = 0;
  }

  roundTrip(ms: number): void {
    this.#roundTripMs = Math.min(this.#roundTripMs, ms);
  }
}
