/**
 * The agent's event stream: every change of a VM or migration, numbered, kept for late readers up to a limit. A reader
 * that asks for events no longer kept is told that it missed some, never silently skipped.
 */
import type { AgentEvent } from "../api/host.ts";

export interface Numbered {
  readonly id: number;
  readonly event: AgentEvent;
}
type Listener = (numbered: Numbered) => void;

export const EVENTS_KEPT = 1000;

export class EventHub {
  readonly #listeners = new Set<Listener>();
  readonly #kept: Numbered[] = [];
  // Numbers start at the clock so that a restarted agent never reuses one a reader has seen.
  #next = Date.now() * 1000;

  publish(event: AgentEvent): void {
    const numbered = { id: this.#next++, event };
    this.#kept.push(numbered);
    if (this.#kept.length > EVENTS_KEPT) this.#kept.shift();
    for (const listener of this.#listeners) listener(numbered);
  }

  /** Calls `listener` for all kept events after `lastId`, then for each new one. Returns the way to stop. */
  subscribe(listener: Listener, lastId?: number): () => void {
    if (lastId !== undefined) {
      const oldest = this.#kept[0]?.id ?? this.#next;
      if (lastId < oldest - 1) listener({ id: this.#next - 1, event: { type: "missed" } });
      else for (const numbered of this.#kept) if (numbered.id > lastId) listener(numbered);
    }
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
