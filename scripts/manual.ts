/**
 * The manual from the program itself: `node scripts/manual.ts` writes man/*.1 and docs/cli.md. Verbs, options, words and
 * examples are those of src/cli; only what no verb can say (files, environment) stands here. test/manual.test.ts
 * compares.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { Command, Option } from "commander";

import { CONFIG_FILE } from "../src/cli/commands/agent.ts";
import { verbs } from "../src/cli/commands/index.ts";
import { HOST_SOCKET } from "../src/cli/connect.ts";
import { Cli, processParts } from "../src/cli/context.ts";
import { examplesOf } from "../src/cli/options.ts";
import { buildProgram, VERSION } from "../src/cli/program.ts";
import { ExitCode } from "../src/std/errors.ts";

const ROOT = join(import.meta.dirname, "..");
const MAN = "man";

/** A verb, or a part of one such as "lab up", as both manuals show it. */
export interface Entry {
  readonly name: string;
  readonly summary: string;
  readonly synopsis: string;
  readonly arguments: readonly (readonly [string, string])[];
  readonly options: readonly (readonly [string, string])[];
  readonly examples: readonly string[];
  readonly parts: readonly Entry[];
}

const EXIT_MEANINGS: Readonly<Record<keyof typeof ExitCode, string>> = {
  done: "done",
  failed: "failed; the VM is still at the source",
  usage: "usage",
  blocked: "blocked by the pre-flight check, or by a finding of godwit doctor",
  cancelled: "cancelled",
  timedOut: "timed out, as the policy said",
  postCheckFailed: "finished, but a check afterwards failed",
  needsPerson: "needs a person: post-copy is paused, ownership is unclear, or the VM is lost",
  interrupted: "interrupted",
};
const ENVIRONMENT = [
  ["GODWIT_SOCKET", "the agent to ask, as --socket"],
  ["GODWIT_LAB_HOME", "where labs are kept"],
  ["GODWIT_LOG", "the agent's log level: debug, info (default), warn"],
  ["NO_COLOR", "no colour, as --no-color"],
] as const;
const FILES = [
  [CONFIG_FILE, "the agent's configuration"],
  [HOST_SOCKET, "where the agent answers this host"],
  ["/etc/godwit/pki", "the host's certificates"],
  ["/var/lib/godwit", "journals and the VMs' folders"],
] as const;

export async function entries(): Promise<Entry[]> {
  // The last verb is for the completion script alone.
  const offered = verbs.filter((verb) => verb.hidden !== true);
  const program = await buildProgram(new Cli(processParts), () => true, offered);
  return program.commands.map((command) => entryOf(command, "godwit"));
}

function entryOf(command: Command, above: string): Entry {
  const name = `${above} ${command.name()}`;
  const help = command.createHelp();
  const options = help.visibleOptions(command).filter((option) => option.long !== "--help");
  return {
    name,
    summary: command.description(),
    synopsis: `${name} ${options.length === 0 ? command.usage().replace("[options]", "") : command.usage()}`
      .replaceAll(/\s+/g, " ")
      .trim(),
    arguments: command.registeredArguments.map((one) => [one.name(), help.argumentDescription(one)] as const),
    options: options.map((one) => [one.flags, optionText(one, help.optionDescription(one))] as const),
    examples: examplesOf(command),
    parts: command.commands.map((part) => entryOf(part, name)),
  };
}

const optionText = (option: Option, text: string): string => (option.mandatory ? `${text} (required)` : text);

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** A verb and its parts, as one list. */
const withParts = (entry: Entry): Entry[] => [entry, ...entry.parts.flatMap(withParts)];

// ---- man(7)

/** A leading dot or quote would be a request, a backslash an escape, and a plain hyphen is typeset as a dash. */
const roff = (text: string): string =>
  text
    .replaceAll("\\", String.raw`\e`)
    .replaceAll("-", String.raw`\-`)
    .replace(/^([.'])/, String.raw`\&$1`);

const tagged = (rows: readonly (readonly [string, string])[]): string[] =>
  rows.flatMap(([name, text]) => [".TP", `.B ${roff(name)}`, roff(text)]);

const code = (lines: readonly string[]): string[] => [".EX", ...lines.map(roff), ".EE"];

const heading = (page: string): string =>
  `.TH ${roff(page.toUpperCase())} 1 "" "godwit ${VERSION}" "godwit manual"`;

function verbPage(entry: Entry): string {
  const page = entry.name.replaceAll(" ", "-");
  const lines = [
    heading(page),
    ".SH NAME",
    `${roff(page)} \\- ${roff(entry.summary)}`,
    ".SH SYNOPSIS",
    ...withParts(entry)
      .filter((one) => one.parts.length === 0)
      .flatMap((one) => [`.B ${roff(one.synopsis)}`, ".br"]),
  ];
  for (const one of withParts(entry)) {
    const rows = [...one.arguments, ...one.options];
    if (rows.length === 0 && one === entry) continue;
    const title = one === entry ? "OPTIONS" : one.name.toUpperCase();
    lines.push(`.SH ${roff(title)}`);
    if (one !== entry) lines.push(`${sentence(roff(one.summary))}.`);
    lines.push(...tagged(rows));
  }
  const examples = withParts(entry).flatMap((one) => one.examples);
  if (examples.length > 0) lines.push(".SH EXAMPLES", ...code(examples));
  lines.push(".SH SEE ALSO", String.raw`.BR godwit (1)`);
  return `${lines.join("\n")}\n`;
}

function mainPage(all: readonly Entry[]): string {
  return `${[
    heading("godwit"),
    ".SH NAME",
    String.raw`godwit \- live migration of virtual machines for stock QEMU/KVM`,
    ".SH SYNOPSIS",
    String.raw`.B godwit \fIverb\fR [\fIoptions\fR]`,
    ".SH DESCRIPTION",
    "Moves running virtual machines between hosts without stopping them, with four techniques behind one verb, one",
    "owner at every moment, and a measured report after each move. Progress goes to stderr, results to stdout.",
    "Quantities need their unit: a bare number is refused.",
    ".SH VERBS",
    ...tagged(all.map((entry) => [entry.name.replaceAll(" ", "-"), entry.summary] as const)),
    ".SH EXIT STATUS",
    ...tagged(exitRows()),
    ".SH ENVIRONMENT",
    ...tagged(ENVIRONMENT),
    ".SH FILES",
    ...tagged(FILES),
    ".SH SEE ALSO",
    all.map((entry) => `.BR ${roff(entry.name.replaceAll(" ", "-"))} (1)`).join(",\n"),
  ].join("\n")}\n`;
}

const exitRows = (): [string, string][] =>
  (Object.keys(ExitCode) as (keyof typeof ExitCode)[]).map((key) => [
    String(ExitCode[key]),
    EXIT_MEANINGS[key],
  ]);

// ---- Markdown

const cell = (text: string): string => text.replaceAll("|", String.raw`\|`);
const angled = (text: string): string => text.replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const table = (head: readonly [string, string], rows: readonly (readonly [string, string])[]): string[] => [
  `| ${head[0]} | ${head[1]} |`,
  "| --- | --- |",
  ...rows.map(([name, text]) => `| \`${cell(name)}\` | ${cell(angled(text))} |`),
  "",
];

function markdown(all: readonly Entry[]): string {
  const lines = [
    "# The command line",
    "",
    "Written by `node scripts/manual.ts` from the program itself; the same text is in its `--help` and its man pages.",
    "Units are required wherever a quantity is asked for: `300ms`, `10m`, `512MiB`, `1Gbit/s`.",
    "",
    ...table(
      ["verb", "what it does"],
      all.map((entry) => [entry.name, entry.summary] as const),
    ),
  ];
  for (const entry of all.flatMap(withParts)) {
    lines.push(`${"#".repeat(entry.name.split(" ").length)} ${entry.name}`, "");
    lines.push(`${sentence(angled(entry.summary))}.`, "", "```sh", entry.synopsis, "```", "");
    if (entry.arguments.length > 0) lines.push(...table(["argument", "meaning"], entry.arguments));
    if (entry.options.length > 0) lines.push(...table(["option", "meaning"], entry.options));
    if (entry.examples.length > 0) lines.push("```sh", ...entry.examples, "```", "");
  }
  lines.push(
    "## Exit codes",
    "",
    ...table(["code", "meaning"], exitRows()),
    "## Environment",
    "",
    ...table(["variable", "meaning"], ENVIRONMENT),
    "## Files",
    "",
    ...table(["path", "what it is"], FILES),
  );
  return `${lines.join("\n").trimEnd()}\n`;
}

/** Every generated file: path from the project's root, and its text. */
export async function manual(): Promise<ReadonlyMap<string, string>> {
  const all = await entries();
  return new Map([
    [join(MAN, "godwit.1"), mainPage(all)],
    ...all.map((entry) => [join(MAN, `${entry.name.replaceAll(" ", "-")}.1`), verbPage(entry)] as const),
    ["docs/cli.md", markdown(all)],
  ]);
}

export const writtenPages = (): string[] => readdirSync(join(ROOT, MAN)).map((name) => join(MAN, name));

if (import.meta.main) {
  const files = await manual();
  rmSync(join(ROOT, MAN), { recursive: true, force: true });
  mkdirSync(join(ROOT, MAN));
  for (const [path, text] of files) writeFileSync(join(ROOT, path), text);
}
