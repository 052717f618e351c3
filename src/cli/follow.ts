/**
 * Follows a migration on the terminal to its end, and decides what Ctrl-C means: while migrating the first cancels
 * and the second leaves the migration to the agents; while only watching the first leaves.
 */
import type { GodwitClient } from "../api/client.ts";
import type { MigrationView } from "../api/migration.ts";
import { toCodedError } from "../std/errors.ts";
import type { Cli } from "./context.ts";
import { display, type Display } from "./progress.ts";

export type OnInterrupt = "cancel" | "leave";

/** Starts (or finds) a migration and follows it. Undefined: left before the end. */
export async function followToEnd(
  cli: Cli,
  client: GodwitClient,
  begin: () => Promise<MigrationView>,
  mode: OnInterrupt,
): Promise<MigrationView | undefined> {
  const shown = display(cli);
  const interrupts = new Interrupts(client, shown, mode);
  // Listening begins before the request goes out: a Ctrl-C in between must not leave a migration nobody knows of.
  const stopListening = cli.onInterrupt(() => interrupts.pressed());
  try {
    const begun = await begin();
    interrupts.begun(begun);
    shown.show(begun);
    let last = begun;
    const onWaiting = (sentence: string) => shown.note(sentence === "" ? "The agent is back." : sentence);
    for await (const view of client.follow(begun.id, interrupts.left, { onWaiting })) {
      shown.show(view);
      last = view;
    }
    shown.end();
    return last;
  } catch (error) {
    if (!interrupts.left.aborted) throw error;
    return undefined;
  } finally {
    stopListening();
  }
}

class Interrupts {
  readonly #client: GodwitClient;
  readonly #shown: Display;
  readonly #mode: OnInterrupt;
  readonly #leave = new AbortController();
  #migration: MigrationView | undefined;
  #presses = 0;

  constructor(client: GodwitClient, shown: Display, mode: OnInterrupt) {
    this.#client = client;
    this.#shown = shown;
    this.#mode = mode;
  }

  get left(): AbortSignal {
    return this.#leave.signal;
  }

  begun(migration: MigrationView): void {
    this.#migration = migration;
    if (this.#presses > 0) this.#act();
  }

  pressed(): void {
    this.#presses += 1;
    if (this.#migration !== undefined) this.#act();
    else this.#shown.note("Waiting for the agent's answer; then this is cancelled.");
  }

  #act(): void {
    const migration = this.#migration;
    if (migration === undefined) return;
    if (this.#mode === "leave" || this.#presses > 1) {
      this.#shown.note(`Left. Migration ${migration.id} goes on; godwit watch ${migration.id} follows it.`);
      this.#leave.abort();
      return;
    }
    this.#shown.note(`Cancelling migration ${migration.id}. Ctrl-C again leaves it to the agents.`);
    this.#client
      .cancel({ params: { id: migration.id }, signal: this.#leave.signal })
      .catch((error: unknown) => {
        if (this.#leave.signal.aborted) return;
        const refused = toCodedError(error);
        this.#shown.note(`${refused.message} ${refused.next}`);
      });
  }
}
