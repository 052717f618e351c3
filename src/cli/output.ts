/** How results look: a table for people, or the value itself as JSON or YAML. Decides layout, not content. */
import { stripVTControlCharacters } from "node:util";

import type { Cli } from "./context.ts";

export const FORMATS = ["table", "json", "yaml"] as const;
export type Format = (typeof FORMATS)[number];

/** The value as asked for. The table is only made when it is shown. */
export async function printResult(
  cli: Cli,
  format: Format,
  value: unknown,
  table: () => string | Promise<string>,
): Promise<void> {
  cli.print(format === "table" ? await table() : await serialise(format, value));
}

export async function serialise(format: Exclude<Format, "table">, value: unknown): Promise<string> {
  if (format === "json") return JSON.stringify(value, null, 2);
  const { stringify } = await import("yaml");
  return stringify(value, { lineWidth: 0 });
}

/** Text that came from elsewhere, safe for a terminal: no escape sequences, no control characters. */
export const plain = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- control characters are what is taken out
  stripVTControlCharacters(text).replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, " ");

const NO_LINES = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
};

/** Columns without lines: easy to read, easy to cut. Names in `rightAligned` hold figures. */
export async function renderTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  rightAligned: readonly string[] = [],
): Promise<string> {
  const { default: Table } = await import("cli-table3");
  const table = new Table({
    head: [...head],
    colAligns: head.map((name) => (rightAligned.includes(name) ? "right" : "left")),
    chars: NO_LINES,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
  });
  table.push(...rows.map((row) => row.map(plain)));
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}
