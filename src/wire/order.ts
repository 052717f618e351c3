/**
 * Numbered frames of 1..n connections, back in their order. Decides which come next and which no correct peer sends;
 * a gap is only waited for here: how long is the relay's rule.
 */
import { WINDOW_FRAMES } from "./limits.ts";
import { refuse } from "./refuse.ts";

export class FrameOrder<F extends { readonly number: number }> {
  readonly #window: number;
  readonly #early: (F | undefined)[];
  #next = 1;
  #waiting = 0;

  constructor(windowFrames = WINDOW_FRAMES) {
    this.#window = windowFrames;
    this.#early = Array.from({ length: windowFrames });
  }

  /** The number of the frame that everything else waits for. */
  get next(): number {
    return this.#next;
  }

  /** Frames that are here, in order or not, and were not taken. */
  get waiting(): number {
    return this.#waiting;
  }

  put(frame: F): void {
    const { number } = frame;
    if (number < this.#next) return refuse(`frame ${number} came twice`);
    if (number >= this.#next + this.#window) {
      return refuse(`frame ${number} is too far ahead of frame ${this.#next}`);
    }
    const place = number % this.#window;
    if (this.#early[place] !== undefined) return refuse(`frame ${number} came twice`);
    this.#early[place] = frame;
    this.#waiting += 1;
  }

  /** The next frame in order; undefined while it has not come. */
  take(): F | undefined {
    const place = this.#next % this.#window;
    const frame = this.#early[place];
    if (frame === undefined) return undefined;
    this.#early[place] = undefined;
    this.#next += 1;
    this.#waiting -= 1;
    return frame;
  }
}
