/**
 * What a verb sees of the terminal it was typed at: streams, environment, Ctrl-C, and the exit code it leaves
 * behind. Handed in, so that tests run verbs without a process of their own.
 */
import { styleText } from "node:util";

import { ExitCode } from "../std/errors.ts";

export interface Sink {
  write(text: string | Uint8Array): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Source extends AsyncIterable<Buffer | string> {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
}

export interface CliParts {
  readonly stdin: Source;
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Calls the listener at every Ctrl-C until the returned function is called. */
  readonly onInterrupt: (listener: () => void) => () => void;
}

type Style = Parameters<typeof styleText>[0];

export class Cli implements CliParts {
  readonly stdin: Source;
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly env: CliParts["env"];
  readonly onInterrupt: CliParts["onInterrupt"];
  readonly #noColor: boolean;
  exitCode: ExitCode = ExitCode.done;

  constructor(parts: CliParts, noColor = false) {
    this.stdin = parts.stdin;
    this.stdout = parts.stdout;
    this.stderr = parts.stderr;
    this.env = parts.env;
    this.onInterrupt = parts.onInterrupt;
    this.#noColor = noColor || (parts.env["NO_COLOR"] ?? "") !== "";
  }

  /** Progress, hints and refusals; results go to stdout. */
  say(line: string): void {
    this.stderr.write(`${line}\n`);
  }

  print(text: string): void {
    this.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
  }

  /** The text in colour where the stream is a terminal and nobody asked for none. */
  style(sink: Sink, style: Style, text: string): string {
    if (sink.isTTY !== true || this.#noColor || this.env["TERM"] === "dumb") return text;
    return styleText(style, text, { validateStream: false });
  }

  /** Whether a block of lines can be painted over. */
  get repaints(): boolean {
    return this.stderr.isTTY === true && this.env["TERM"] !== "dumb";
  }
}

export const processParts: CliParts = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  onInterrupt: (listener) => {
    process.on("SIGINT", listener);
    return () => process.off("SIGINT", listener);
  },
};
