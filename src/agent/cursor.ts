/** A page's cursor: the sort keys of the last item seen, opaque to who holds it, checked when it comes back. */
import { z } from "zod";

import { CodedError } from "../std/errors.ts";

const keys = z.tuple([z.string().max(64), z.int().nonnegative()]);

export const makeCursor = (time: string, row: number): string =>
  Buffer.from(JSON.stringify([time, row])).toString("base64url");

/** @throws CodedError REQUEST_INVALID for anything makeCursor does not make */
export function readCursor(cursor: string): [string, number] {
  try {
    return keys.parse(JSON.parse(Buffer.from(cursor, "base64url").toString("utf8")));
  } catch (cause) {
    throw new CodedError("REQUEST_INVALID", { problem: "cursor: not one this agent gave out" }, { cause });
  }
}
