/** godwit cleanup: removes what ended or crashed migrations left behind, on every host that is known. */
import type { Command } from "commander";

import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { plain, printResult } from "../output.ts";

export const cleanupCommand = (cli: Cli): Command =>
  withCommon(verb("cleanup", "", "godwit cleanup")).action(async (flags: CommonFlags) => {
    const { clientsOf, connect } = await import("../connect.ts");
    const answers = [];
    for (const client of clientsOf(connect(cli, flags))) answers.push(await client.cleanup());
    const removed = answers.flatMap((one) => one.removed);
    const kept = answers.flatMap((one) => one.kept);
    await printResult(cli, flags.output, { removed, kept }, () =>
      [
        removed.length === 0 ? "Nothing to remove." : `Removed ${removed.length}:`,
        ...removed.map((what) => `  ${plain(what)}`),
        ...(kept.length === 0 ? [] : [`Kept ${kept.length}:`, ...kept.map((what) => `  ${plain(what)}`)]),
      ].join("\n"),
    );
  });
