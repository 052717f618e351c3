/**
 * docs/errors.md from the error catalogue: `node scripts/errors-doc.ts` rewrites the table, and keeps the text and
 * the list of retired codes around it. test/errors.test.ts compares both.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { catalogue, CodedError, type ErrorCode } from "../src/std/errors.ts";

export const ERRORS_DOC = join(import.meta.dirname, "../docs/errors.md");

export interface Row {
  readonly code: string;
  readonly status: string;
  readonly exit: string;
  readonly what: string;
  readonly next: string;
}

/** Every detail as its own name in braces; "next" is left out, so that the general next step is shown. */
const named = new Proxy<Record<string, unknown>>(
  {},
  { get: (_, key) => (key === "next" || typeof key === "symbol" ? undefined : `{${key}}`) },
);

export const catalogueRows = (): Row[] =>
  (Object.keys(catalogue) as ErrorCode[]).map((code) => {
    const refused = new CodedError(code, named);
    return {
      code,
      status: String(refused.status),
      exit: String(refused.exit),
      what: refused.message,
      next: refused.next,
    };
  });

const ROW = /^\| `([A-Z_]+)` \| (\d+) \| (\d+) \| (.+) \| (.+) \|$/;

export const documentedRows = (text: string): Row[] =>
  text.split("\n").flatMap((line) => {
    const [, code, status, exit, what, next] = ROW.exec(line) ?? [];
    return code && status && exit && what && next ? [{ code, status, exit, what, next }] : [];
  });

export const retiredCodes = (text: string): string[] => {
  const [, retired = ""] = text.split("## Retired");
  return [...retired.matchAll(/^- `([A-Z_]+)`/gm)].flatMap(([, code]) => code ?? []);
};

export const rowText = (row: Row): string =>
  `| \`${row.code}\` | ${row.status} | ${row.exit} | ${row.what} | ${row.next} |`;

/** The document with its rows replaced. */
export function withRows(text: string, rows: readonly Row[]): string {
  const lines = text.split("\n");
  const at = lines.findIndex((line) => line.startsWith("| --- |")) + 1;
  const rest = lines.slice(at).filter((line) => !ROW.test(line));
  return [...lines.slice(0, at), ...rows.map(rowText), ...rest].join("\n");
}

if (import.meta.main) {
  writeFileSync(ERRORS_DOC, withRows(readFileSync(ERRORS_DOC, "utf8"), catalogueRows()));
}
