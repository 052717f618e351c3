/**
 * Holds the state and tells React of it, at most twice a second: news is collected and drawn together. What news
 * means is decided in reduce.ts.
 */
import { useSyncExternalStore } from "react";

import { reduce, type News } from "./reduce.ts";
import { EMPTY, type State } from "./state.ts";

export const DRAW_INTERVAL_MS = 500;

export class Store {
  #state: State = EMPTY;
  #waiting: News[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #drawnAtMs = -Infinity;
  readonly #listeners = new Set<() => void>();

  readonly state = (): State => this.#state;
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** Shown with the next drawing. */
  tell(...news: readonly News[]): void {
    this.#waiting.push(...news);
    if (this.#timer !== undefined) return;
    const inMs = Math.max(0, this.#drawnAtMs + DRAW_INTERVAL_MS - performance.now());
    this.#timer = setTimeout(() => this.#draw(), inMs);
  }

  #draw(): void {
    this.#timer = undefined;
    this.#drawnAtMs = performance.now();
    const news = this.#waiting;
    this.#waiting = [];
    this.#state = reduce(this.#state, news);
    for (const listener of this.#listeners) listener();
  }
}

/** What a component picks from the state; it is drawn again only when that changed. */
export const useStore = <T>(store: Store, pick: (state: State) => T): T =>
  useSyncExternalStore(store.subscribe, () => pick(store.state()));
