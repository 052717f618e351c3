/**
 * The cap: how long to wait before more may be sent. The source counts what it receives too, so that both
 * directions together stay below it. Time is handed in. It may go into debt by one piece, and saves up little, so every second stays below.
 */

/** Ethernet, IP, TCP and TLS around full segments, and the acknowledgements: the cap is what an interface counts. */
const OVERHEAD = 1.07;
/** Timers come late; what they cost is made up for, within 3 % of a second. */
export const SAVED_MS = 30;

export class TokenBucket {
  #rate: number | undefined;
  #tokens = 0;
  #at: number;

  constructor(bytesPerSecond: number | null, nowMs: number) {
    this.#rate = bytesPerSecond ?? undefined;
    this.#at = nowMs;
  }

  get bytesPerSecond(): number | null {
    return this.#rate ?? null;
  }

  setRate(bytesPerSecond: number | null, nowMs: number): void {
    this.#refill(nowMs);
    this.#rate = bytesPerSecond ?? undefined;
    this.#tokens = Math.min(0, this.#tokens);
  }

  spend(bytes: number): void {
    if (this.#rate !== undefined) this.#tokens -= bytes * OVERHEAD;
  }

  /** 0: now. */
  waitMs(nowMs: number): number {
    this.#refill(nowMs);
    if (this.#rate === undefined || this.#tokens >= 0) return 0;
    return Math.ceil((-this.#tokens / this.#rate) * 1000);
  }

  #refill(nowMs: number): void {
    const passedMs = nowMs - this.#at;
    this.#at = nowMs;
    if (this.#rate === undefined) {
      this.#tokens = 0;
      return;
    }
    const saved = (this.#rate * SAVED_MS) / 1000;
    this.#tokens = Math.min(saved, this.#tokens + (this.#rate * passedMs) / 1000);
  }
}
