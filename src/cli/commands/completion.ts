/** godwit completion: the script for a shell, and the hidden verb that script asks. */
import { Argument, Command } from "commander";

import type { Cli } from "../context.ts";
import { verb } from "../options.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

export const completionCommand = (cli: Cli): Command =>
  verb("completion", "", "source <(godwit completion bash)")
    .addArgument(new Argument("<shell>", "your shell").choices(SHELLS))
    .action(async (shell: string) => (await completer(cli)).setup("godwit", "godwit", shell));

export const completeCommand = (cli: Cli): Command =>
  new Command("complete")
    .argument("[words...]")
    .allowUnknownOption()
    .action(async (words: readonly string[]) => (await completer(cli)).parse([...words]));

/** A program of its own with every verb loaded, but for these two: the library brings them itself. */
async function completer(cli: Cli) {
  const [{ default: tab }, { buildProgram }, { verbs }] = await Promise.all([
    import("@bomb.sh/tab/commander"),
    import("../program.ts"),
    import("./index.ts"),
  ]);
  const others = verbs.filter(({ name }) => name !== "complete" && name !== "completion");
  return tab(await buildProgram(cli, () => true, others), { completionCommandName: "completion" });
}
