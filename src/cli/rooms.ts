/**
 * The other rooms' ways in, each loaded only when a verb needs it: a quick start matters more to `godwit list` than
 * having the lab in memory.
 */

import type { Command } from "commander";

import type { Format } from "./output.ts";

/** Until a room is there its module cannot be resolved by the compiler; at run time its absence is an error. */
const room = async <T>(path: string): Promise<T> => (await import(path)) as T;

export const agentMain = () => room<{ runAgent: (configFile: string) => Promise<void> }>("../agent/main.ts");

export const agentPki = () =>
  room<{
    initCa: (dir: string) => Promise<void> | void;
    issueHost: (options: {
      readonly caDir: string;
      readonly name: string;
      readonly addresses: readonly string[];
      readonly outDir: string;
    }) => Promise<void> | void;
  }>("../agent/pki.ts");

type Print = (format: Format, value: unknown, table: () => string | Promise<string>) => Promise<void>;

export const labCommand = () => room<{ labCommand: (print: Print) => Command }>("./commands/lab.ts");
