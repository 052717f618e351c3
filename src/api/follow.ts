/**
 * Follows one migration to its outcome. Events bring news quickly; a state read at intervals is what is trusted, so
 * a lost event costs at most one interval. An agent that is away is waited for, up to a stated patience.
 */
import { setTimeout as sleep } from "node:timers/promises";

import { toCodedError, type CodedError } from "../std/errors.ts";
import { formatDuration } from "../std/units.ts";
import type { AgentEvent } from "./host.ts";
import type { MigrationView } from "./migration.ts";

export const READ_INTERVAL_MS = 1_000;
/** An agent's restart takes seconds; a host's reboot takes longer, and then its VM is gone too. */
export const PATIENCE_MS = 60_000;
const RETRY_MS = 250;

export interface FollowOptions {
  readonly patienceMs?: number;
  /** Told once each time the agent goes away, and again (with "") when it is back. */
  readonly onWaiting?: (sentence: string) => void;
}

export interface FollowSource {
  read(signal: AbortSignal): Promise<MigrationView>;
  events(signal: AbortSignal): AsyncIterable<AgentEvent>;
}

export async function* followMigration(
  source: FollowSource,
  id: string,
  signal?: AbortSignal,
  options: FollowOptions = {},
): AsyncGenerator<MigrationView, void> {
  const end = new AbortController();
  const inner = signal === undefined ? end.signal : AbortSignal.any([signal, end.signal]);
  const news = new News();
  void pump(source, id, inner, news);
  try {
    for (;;) {
      const view = await readPatiently(source, inner, options);
      // Views that arrived before this answer are older than it.
      news.take();
      yield view;
      if (view.outcome !== undefined) return;
      // A timer of our own: the one of AbortSignal.timeout would let the process end while we wait.
      const interval = new AbortController();
      const timer = setTimeout(() => interval.abort(), READ_INTERVAL_MS);
      const readAgain = AbortSignal.any([inner, interval.signal]);
      try {
        while (!readAgain.aborted && !news.reread) {
          for (const newer of news.take()) {
            // An outcome is read once more from the agent, so that the last view is always its own word.
            if (newer.outcome === undefined) yield newer;
            else news.reread = true;
          }
          await news.wait(readAgain);
        }
      } finally {
        clearTimeout(timer);
      }
      signal?.throwIfAborted();
      news.reread = false;
    }
  } finally {
    end.abort();
  }
}

/** Views not yet shown. Only the newest of each phase is kept, so it is never longer than the list of phases. */
class News {
  #views: MigrationView[] = [];
  #wake: (() => void) | undefined;
  reread = false;

  put(view: MigrationView): void {
    if (this.#views.at(-1)?.phase === view.phase) this.#views.pop();
    this.#views.push(view);
    this.wake();
  }
  take(): readonly MigrationView[] {
    const views = this.#views;
    this.#views = [];
    return views;
  }
  wake(): void {
    this.#wake?.();
  }
  async wait(signal: AbortSignal): Promise<void> {
    if (this.#views.length > 0 || this.reread || signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      signal.addEventListener("abort", () => resolve(), { once: true });
    });
    this.#wake = undefined;
  }
}

/** A stream that ends for good is no loss: the state is read at intervals anyway. */
async function pump(source: FollowSource, id: string, signal: AbortSignal, news: News): Promise<void> {
  try {
    for await (const event of source.events(signal)) {
      if (event.type === "migration" && event.migration.id === id) news.put(event.migration);
      if (event.type === "missed") {
        news.reread = true;
        news.wake();
      }
    }
  } catch {
    news.wake();
  }
}

async function readPatiently(
  source: FollowSource,
  signal: AbortSignal,
  options: FollowOptions,
): Promise<MigrationView> {
  const patienceMs = options.patienceMs ?? PATIENCE_MS;
  const patience = AbortSignal.timeout(patienceMs);
  let told = false;
  for (;;) {
    try {
      const view = await source.read(signal);
      if (told) options.onWaiting?.("");
      return view;
    } catch (error) {
      signal.throwIfAborted();
      const refused = toCodedError(error);
      if (!mayReturn(refused) || patience.aborted) throw refused;
      if (!told) {
        options.onWaiting?.(
          `${refused.message} The migration goes on without it; waiting up to ${formatDuration(patienceMs)} for it.`,
        );
      }
      told = true;
    }
    await sleep(RETRY_MS, undefined, { signal });
  }
}

const mayReturn = (refused: CodedError): boolean =>
  refused.code === "AGENT_UNREACHABLE" || refused.code === "PEER_STALLED";
