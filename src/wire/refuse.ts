/** The wire's refusals: one place, so that every sentence names what was wrong and nothing of the page itself. */
import { CodedError } from "../std/errors.ts";

/** Bytes that no correct peer sends. */
export const refuse = (problem: string): never => {
  throw new CodedError("WIRE_GARBAGE", { problem });
};

/** What arrived is not what was sent. */
export const damaged = (what: string): never => {
  throw new CodedError("WIRE_DAMAGED", { what });
};
