/** Options many verbs share: which agent to ask, how to show the result. */
import { Command, Option } from "commander";

import { FORMATS, type Format } from "./output.ts";

export interface AgentFlags {
  readonly socket?: string;
  readonly host?: string;
  readonly lab?: string;
  readonly url?: string;
}

export interface OutputFlags {
  readonly output: Format;
}

export type CommonFlags = AgentFlags & OutputFlags;

export const withAgent = (command: Command): Command =>
  command
    .option("--socket <path>", "ask the agent at this unix socket")
    .option("--host <name>", "ask the agent of this host of the lab")
    .option("--lab <name>", "which lab", undefined)
    .option("--url <url>", "ask the agent at this URL; its token is in GODWIT_TOKEN");

export const withOutput = (command: Command): Command =>
  command.addOption(
    new Option("-o, --output <format>", "how to show the result").choices(FORMATS).default("table"),
  );

export const withCommon = (command: Command): Command => withOutput(withAgent(command));

const shown = new WeakMap<Command, readonly string[]>();

/** The examples a verb was made with; for whoever writes its manual. */
export const examplesOf = (command: Command): readonly string[] => shown.get(command) ?? [];

/** A new verb with its example; every example works as it stands against the lab of the README. */
export const verb = (name: string, summary: string, ...examples: readonly string[]): Command => {
  const command = new Command(name)
    .description(summary)
    .addHelpText(
      "after",
      `\nExample${examples.length > 1 ? "s" : ""}:\n${examples.map((e) => `  $ ${e}`).join("\n")}`,
    );
  shown.set(command, examples);
  return command;
};
