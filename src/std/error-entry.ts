/** What an entry of the error catalogue is, and the exit codes it can lead to. */

/** Exit codes of the CLI; documented in the README. */
export const ExitCode = {
  done: 0,
  failed: 1,
  usage: 2,
  blocked: 3,
  cancelled: 4,
  timedOut: 5,
  postCheckFailed: 6,
  needsPerson: 7,
  interrupted: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export type Details = Readonly<Record<string, unknown>>;

export interface Entry {
  readonly status: number;
  readonly exit: ExitCode;
  readonly what: (d: Details) => string;
  readonly next: (d: Details) => string;
}

/** A detail as text. */
export const s = (d: Details, key: string): string => {
  const value = d[key];
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "?");
};
