/** What a reader of outside bytes is held to, whatever they are: it takes them or refuses them with a code. */
import { CodedError, type ErrorCode } from "../../src/std/errors.ts";

export interface Reader {
  readonly name: string;
  /**
   * Reads all of it. Throws nothing but a refusal of `codes`; whatever else is broken (a place outside what was given,
   * more than a limit allows, something told twice) it throws as an Error.
   */
  read(input: Uint8Array): void;
  readonly codes: readonly ErrorCode[];
  /** Mends what only proves that bytes are whole (a check, a length), so that what lies behind it is read too. */
  readonly seal?: (input: Uint8Array) => Uint8Array;
}

/** "" when all was taken, else the refusal's code. @throws whatever is no refusal of this reader's. */
export function outcomeOf(reader: Reader, input: Uint8Array): string {
  try {
    reader.read(input);
    return "";
  } catch (error) {
    if (error instanceof CodedError && reader.codes.includes(error.code)) return error.code;
    throw error;
  }
}

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}
