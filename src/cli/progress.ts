/**
 * How a running migration is shown on stderr: one block that is painted over on a terminal, or a line per change in
 * a log. Decides what is said and when; says nothing about what limits a migration, the agent does.
 */
import { stripVTControlCharacters } from "node:util";

import type { MigrationView, Progress } from "../api/migration.ts";
import { formatBytes, formatDuration, formatRate } from "../std/units.ts";
import type { Cli } from "./context.ts";
import { plain } from "./output.ts";
import { wireWords } from "./wire-view.ts";

const BAR_CELLS = 30;
const COLUMNS_DEFAULT = 80;
/** In a log: a line at every change of phase, and no more often than this otherwise. */
export const LINE_INTERVAL_MS = 5_000;

export interface Display {
  show(view: MigrationView): void;
  /** A sentence that stays. */
  note(sentence: string): void;
  end(): void;
}

export function display(cli: Cli): Display {
  const shown = cli.repaints ? new Painter(cli) : new Lines(cli);
  let most = 0;
  return {
    show: ({ progress, ...view }) => {
      // Whatever an agent says after its restart: what has been shown is not taken back.
      most = Math.max(most, progress?.fraction ?? 0);
      shown.show({
        ...view,
        ...(progress === undefined ? {} : { progress: { ...progress, fraction: most } }),
      });
    },
    note: (sentence) => shown.note(sentence),
    end: () => shown.end(),
  };
}

/** The block, line by line. */
export function block(view: MigrationView): readonly string[] {
  const title = `${view.vm}  ${view.source} → ${view.target}  ${view.technique}  ${view.id}`;
  const { progress } = view;
  if (progress === undefined) return [title, phaseWords(view)];
  const full = Math.round(progress.fraction * BAR_CELLS);
  return [
    title,
    `${"█".repeat(full)}${"░".repeat(BAR_CELLS - full)} ${percent(progress)}  ${phaseWords(view)}`,
    `sent ${formatBytes(progress.sentBytes)}, remaining ${formatBytes(progress.remainingBytes)} of ${formatBytes(progress.ramBytes)}`,
    `sending ${formatRate(progress.sendBytesPerSecond)}, dirtied ${formatRate(progress.dirtyBytesPerSecond)}${throttled(progress)}`,
    ...(progress.wire === undefined ? [] : [wireWords(progress.wire)]),
    `${formatDuration(progress.elapsedMs)} so far${left(progress)}`,
    progress.limit,
  ].map(plain);
}

/** The same in one line, for logs. */
export function line(view: MigrationView): string {
  const { progress } = view;
  const title = `${view.vm} ${view.source} → ${view.target}: ${phaseWords(view)}`;
  if (progress === undefined) return plain(title);
  return plain(
    `${title}: ${percent(progress)}, sent ${formatBytes(progress.sentBytes)}, remaining ${formatBytes(progress.remainingBytes)}${ratioWords(progress)}${throttled(progress)}${left(progress)}. ${progress.limit}`,
  );
}

const ratioWords = ({ wire }: Progress): string =>
  wire?.ratio === undefined || wire.ratio === null ? "" : `, ${wire.ratio.toFixed(1)}:1 on the wire`;

const percent = (progress: Progress): string => `${Math.floor(progress.fraction * 100)} %`;

const phaseWords = (view: MigrationView): string => {
  const round = view.progress?.round ?? 0;
  return view.phase === "copying" && round > 0 ? `copying, round ${round}` : view.phase;
};

const throttled = (progress: Progress): string =>
  progress.throttlePercent > 0 ? `, vCPUs slowed by ${progress.throttlePercent} %` : "";

function left(progress: Progress): string {
  if (progress.eta === undefined) return "";
  const { ms, lowMs, highMs } = progress.eta;
  return `, about ${formatDuration(ms)} left (${formatDuration(lowMs)} to ${formatDuration(highMs)})`;
}

class Painter implements Display {
  readonly #cli: Cli;
  #lines = 0;

  constructor(cli: Cli) {
    this.#cli = cli;
  }
  show(view: MigrationView): void {
    const columns = this.#cli.stderr.columns ?? COLUMNS_DEFAULT;
    const lines = block(view).map((text) => stripVTControlCharacters(text).slice(0, columns - 1));
    const [title, ...rest] = lines;
    const styled = [this.#cli.style(this.#cli.stderr, "bold", title ?? ""), ...rest];
    this.#cli.stderr.write(`${this.#home()}${styled.join("\n")}\n`);
    this.#lines = lines.length;
  }
  note(sentence: string): void {
    this.#cli.stderr.write(`${this.#home()}${plain(sentence)}\n`);
    this.#lines = 0;
  }
  end(): void {
    this.#cli.stderr.write(this.#home());
    this.#lines = 0;
  }
  /** Back to where the block began, and clear to the end of the screen. */
  #home(): string {
    return this.#lines === 0 ? "" : `\u001B[${this.#lines}A\u001B[0J`;
  }
}

class Lines implements Display {
  readonly #cli: Cli;
  #phase: string | undefined;
  #saidAtMs = 0;

  constructor(cli: Cli) {
    this.#cli = cli;
  }
  show(view: MigrationView): void {
    const elapsedMs = view.progress?.elapsedMs ?? this.#saidAtMs;
    if (view.phase === this.#phase && elapsedMs - this.#saidAtMs < LINE_INTERVAL_MS) return;
    this.#phase = view.phase;
    this.#saidAtMs = elapsedMs;
    this.#cli.say(line(view));
  }
  note(sentence: string): void {
    this.#cli.say(plain(sentence));
  }
  end(): void {
    // Nothing to clear in a log.
  }
}
