/** godwit cancel: asks for a cancel and waits for the one known state it ends in. */
import type { Command } from "commander";

import { ExitCode } from "../../std/errors.ts";
import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { plain, printResult } from "../output.ts";

export const cancelCommand = (cli: Cli): Command =>
  withCommon(verb("cancel", "", "godwit cancel db-1"))
    .argument("<id-or-vm>", "a migration, or the running one of a VM")
    .action(async (idOrVm: string, flags: CommonFlags) => {
      const { connect, findMigration } = await import("../connect.ts");
      const { followToEnd } = await import("../follow.ts");
      const { endSentence, exitOf } = await import("../result.ts");
      const { client, view } = await findMigration(connect(cli, flags), idOrVm);
      const begin = () => client.cancel({ params: { id: view.id } });
      const end = await followToEnd(cli, client, begin, "leave");
      if (end === undefined) {
        cli.exitCode = ExitCode.interrupted;
        return;
      }
      // Cancelled is what was asked for; any other end is told by its own exit code, done included.
      cli.exitCode = end.outcome === "cancelled" ? ExitCode.done : exitOf(end, undefined) || ExitCode.failed;
      await printResult(cli, flags.output, end, () => plain(endSentence(end)));
    });
