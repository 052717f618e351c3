/** Waiting for a change that somebody else notices: no polling, and the end of patience is no error. */
export class Wakes {
  readonly #looks = new Set<() => void>();

  /** Something has changed: everyone who waits looks again. */
  wake(): void {
    for (const look of this.#looks) look();
  }

  /** Settles when `done()`, or after `patienceMs`: the asker sees which. Never rejects. */
  until(done: () => boolean, patienceMs: number): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = (): void => {
        clearTimeout(timer);
        this.#looks.delete(look);
        resolve();
      };
      const look = (): void => {
        if (done()) finish();
      };
      const timer = setTimeout(finish, patienceMs);
      this.#looks.add(look);
    });
  }
}
