/** godwit migrate: moves a VM, shows how it goes, and tells how it went. */
import type { Command } from "commander";

import type { Cli } from "../context.ts";
import type { MigrateFlags } from "../migrate-flags.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { plain, printResult } from "../output.ts";
import { migrateRequestOf, withMigrateOptions, type PolicyFlag } from "./migrate-options.ts";

interface Flags extends MigrateFlags, PolicyFlag, CommonFlags {
  readonly detach?: true;
}

export const migrateCommand = (cli: Cli): Command =>
  withCommon(
    withMigrateOptions(
      verb(
        "migrate",
        "",
        "godwit migrate db-1 --to b",
        "godwit migrate db-1 --to b --technique hybrid --switch stalled",
        "godwit migrate db-1 --to b --bandwidth 1Gbit/s --timeout 10m --on-timeout post-copy",
      ),
    ).option("--detach", "start it and return; godwit watch follows it"),
  ).action(async (name: string, flags: Flags) => {
    const request = await migrateRequestOf(flags);
    const { connect, findVm } = await import("../connect.ts");
    const { client } = await findVm(connect(cli, flags), name);
    const begin = () => client.migrate({ params: { name }, body: request });
    if (flags.detach) {
      const view = await begin();
      await printResult(cli, flags.output, view, () =>
        plain(
          `Migration ${view.id} of ${view.vm} to ${view.target} has begun; godwit watch ${view.id} follows it.`,
        ),
      );
      return;
    }
    const { followToEnd } = await import("../follow.ts");
    const { showEnd } = await import("../result.ts");
    await showEnd(cli, client, await followToEnd(cli, client, begin, "cancel"), flags.output);
  });
