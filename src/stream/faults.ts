/** The two refusals of this room. Both say where in the stream, and what was expected there. */
import { CodedError } from "../std/errors.ts";

export const invalid = (offset: number, expected: string): CodedError =>
  new CodedError("STREAM_INVALID", { offset, expected });

export const beyond = (offset: number, what: string, value: number, limit: number): CodedError =>
  new CodedError("STREAM_LIMIT", { offset, what, value, limit });
