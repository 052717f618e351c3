/**
 * The agent's event stream: every change of a VM or migration, numbered and put into its wire form once for all
 * listeners, kept for late readers up to a limit. A reader that asks for events no longer kept is told that it missed
 * some, never silently skipped.
 */
import type { AgentEvent } from "../api/host.ts";

export interface Numbered {
  readonly id: number;
  readonly event: AgentEvent;
  /** As a server-sent event. */
  readonly frame: Buffer;
  /** Of events with the same key only the newest matters. */
  readonly key: string;
}
type Listener = (numbered: Numbered) => void;

export const EVENTS_KEPT = 1000;

export class EventHub {
  readonly #listeners = new Set<Listener>();
  readonly #kept: Numbered[] = [];
  // Numbers start at the clock so that a restarted agent never reuses one a reader has seen.
  #next = Date.now() * 1000;

  publish(event: AgentEvent): void {
    const numbered = numberedAs(this.#next++, event);
    this.#kept.push(numbered);
    if (this.#kept.length > EVENTS_KEPT) this.#kept.shift();
    for (const listener of this.#listeners) listener(numbered);
  }

  /**
   * Calls `listener` for all kept events after `lastId`, then for each new one. An id this agent never gave, or gave too
   * long ago, is answered with a "missed". Returns the way to stop.
   */
  subscribe(listener: Listener, lastId?: number): () => void {
    if (lastId !== undefined) {
      const oldest = this.#kept[0]?.id ?? this.#next;
      const known = lastId >= oldest - 1 && lastId < this.#next;
      if (known) for (const numbered of this.#kept.filter(({ id }) => id > lastId)) listener(numbered);
      else listener(this.missed());
    }
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The number of the last event; what a new listener has, so to say, seen. */
  get newest(): number {
    return this.#next - 1;
  }

  /** Says that everything up to now has to be read anew. */
  missed(): Numbered {
    return numberedAs(this.#next - 1, { type: "missed" });
  }
}

const numberedAs = (id: number, event: AgentEvent): Numbered => ({
  id,
  event,
  frame: Buffer.from(`id: ${id}\ndata: ${JSON.stringify(event)}\n\n`),
  key: keyOf(event),
});

/** Progress of one phase replaces progress of the same phase; a change of phase is never replaced. */
function keyOf(event: AgentEvent): string {
  switch (event.type) {
    case "migration":
      return `migration ${event.migration.id} ${event.migration.phase} ${event.migration.outcome ?? ""}`;
    case "vm":
      return `vm ${event.vm.name}`;
    case "vm-gone":
      return `vm ${event.name}`;
    case "latency":
      return `latency ${event.migration}`;
    case "missed":
      return "missed";
  }
}
