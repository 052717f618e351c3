/** godwit recover: continues a post-copy migration whose connection broke, and follows it. */
import type { Command } from "commander";

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
      await showEnd(cli, client, await followToEnd(cli, client, begin, "leave"), flags.output);
    });
