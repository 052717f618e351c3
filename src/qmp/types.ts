/**
 * What the rest of godwit needs of a QMP connection. Implemented by client.ts (a real socket) and by the fake in
 * test/; both pass test/contracts/qmp.ts.
 */
import type { QmpCommands } from "./commands.ts";

/** One event, stamped when its line was read: CLOCK_MONOTONIC nanoseconds of this machine. */
export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly atNs: bigint;
}

export interface ExecuteOptions {
  readonly signal?: AbortSignal;
  /** Default 10 s. A guest with much memory makes some commands slow; none may hang for ever. */
  readonly timeoutMs?: number;
  /** Run out of band (migrate-pause, migrate-recover), so that a hung main loop cannot hold it up. */
  readonly outOfBand?: boolean;
}

/** A private queue of events. Open it before the command that causes them. */
export interface EventStream extends AsyncIterable<QmpEvent>, Disposable {
  close(): void;
}

export interface Qmp extends AsyncDisposable {
  readonly version: {
    readonly major: number;
    readonly minor: number;
    readonly micro: number;
    readonly text: string;
  };
  /**
   * @throws CodedError QMP_REFUSED when QEMU answered with an error (details: command, qmpClass, desc),
   * QMP_LOST when the connection ended first (details: command, unread: QEMU provably never read it whole),
   * QMP_PROTOCOL when the other side does not speak QMP.
   */
  execute<C extends keyof QmpCommands>(
    command: C,
    args: QmpCommands[C]["arguments"],
    options?: ExecuteOptions,
  ): Promise<QmpCommands[C]["returns"]>;
  events(only?: readonly string[]): EventStream;
  /** Settles when the connection has ended, for whatever reason. Never rejects. */
  readonly closed: Promise<void>;
}
