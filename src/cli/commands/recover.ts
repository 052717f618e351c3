/** godwit recover: what a person can do about a migration that waits for one; follows it to its end. */
import type { Command } from "commander";

import { ExitCode } from "../../std/errors.ts";
import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";

export const recoverCommand = (cli: Cli): Command =>
  withCommon(verb("recover", "", "godwit recover db-1"))
    .argument("<id-or-vm>", "a migration, or the newest of a VM")
    .action(async (idOrVm: string, flags: CommonFlags) => {
      const { connect, findMigration } = await import("../connect.ts");
      const { followToEnd } = await import("../follow.ts");
      const { showEnd } = await import("../result.ts");
      const { client, view } = await findMigration(connect(cli, flags), idOrVm);
      const begin = () => client.recover({ params: { id: view.id } });
      const end = await followToEnd(cli, client, begin, "leave");
      await showEnd(cli, client, end, flags.output);
      // The migration has failed; what was asked for here has not.
      if (end?.code === "TAKEN_BACK") cli.exitCode = ExitCode.done;
    });
