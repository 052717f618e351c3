/** A terminal for tests of the command line: collects what is written, presses Ctrl-C, runs `main`. */
import { main } from "../../src/cli/main.ts";
import type { CliParts } from "../../src/cli/context.ts";

export class FakeTerminal {
  stdout = "";
  stderr = "";
  readonly #tty: boolean;
  readonly #env: Record<string, string>;
  readonly #listeners = new Set<() => void>();

  readonly #typed: string;

  constructor(
    options: { readonly tty?: boolean; readonly env?: Record<string, string>; readonly typed?: string } = {},
  ) {
    this.#typed = options.typed ?? "";
    this.#tty = options.tty ?? false;
    this.#env = options.env ?? {};
  }

  run(...argv: readonly string[]): Promise<number> {
    const typed = this.#typed;
    const parts: CliParts = {
      stdin: (async function* stdin() {
        yield await Promise.resolve(Buffer.from(typed));
      })(),
      stdout: { write: (text) => (this.stdout += asText(text)), isTTY: this.#tty, columns: 80 },
      stderr: { write: (text) => (this.stderr += asText(text)), isTTY: this.#tty, columns: 80 },
      // A home of its own, so that no lab of this machine is found.
      env: { HOME: "/nonexistent", ...this.#env },
      onInterrupt: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
    return main(argv, parts);
  }

  ctrlC(): void {
    for (const listener of this.#listeners) listener();
  }
}

const asText = (text: string | Uint8Array): string => Buffer.from(text as Uint8Array).toString();
