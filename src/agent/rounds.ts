/** Something done again and again while its owner lives, each time some while after it was done: never twice at a time. */
export class Rounds {
  readonly #round: () => Promise<number>;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** `round` says in how many ms its next turn comes. It never rejects. */
  constructor(round: () => Promise<number>) {
    this.#round = round;
  }

  /** The first one comes in so many ms. Keeps no process alive. */
  open(afterMs: number): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      void this.#round().then((ms) => this.open(ms));
    }, afterMs);
    this.#timer.unref();
  }

  /** One that is under way goes on; there is no other after it. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}
