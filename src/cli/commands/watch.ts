/** godwit watch: follows a migration somebody started. Ctrl-C only stops watching. */
import type { Command } from "commander";

import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";

export const watchCommand = (cli: Cli): Command =>
  withCommon(verb("watch", "", "godwit watch db-1"))
    .argument("<id-or-vm>", "a migration, or the newest of a VM")
    .action(async (idOrVm: string, flags: CommonFlags) => {
      const { connect, findMigration } = await import("../connect.ts");
      const { followToEnd } = await import("../follow.ts");
      const { showEnd } = await import("../result.ts");
      const { client, view } = await findMigration(connect(cli, flags), idOrVm);
      const end = await followToEnd(cli, client, () => Promise.resolve(view), "leave");
      await showEnd(cli, client, end, flags.output);
    });
