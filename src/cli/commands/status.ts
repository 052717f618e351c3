/** godwit status: one line per migration that has not ended, or the one asked for. */
import type { Command } from "commander";

import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { printResult, renderTable } from "../output.ts";

export const statusCommand = (cli: Cli): Command =>
  withCommon(verb("status", "", "godwit status", "godwit status db-1"))
    .argument("[id-or-vm]", "one migration, or the newest of a VM")
    .action(async (idOrVm: string | undefined, flags: CommonFlags) => {
      const { allMigrations, connect, findMigration } = await import("../connect.ts");
      const connection = connect(cli, flags);
      const views =
        idOrVm === undefined
          ? (await allMigrations(connection))
              .map(({ view }) => view)
              .filter(({ outcome }) => outcome === undefined || outcome === "needs-person")
          : [(await findMigration(connection, idOrVm)).view];
      await printResult(cli, flags.output, views, () =>
        views.length === 0
          ? "No migration is running."
          : renderTable(
              ["ID", "VM", "FROM", "TO", "TECHNIQUE", "PHASE", "DONE", "WHAT"],
              views.map((view) => [
                view.id,
                view.vm,
                view.source,
                view.target,
                view.technique,
                view.outcome ?? view.phase,
                view.progress === undefined ? "-" : `${Math.floor(view.progress.fraction * 100)} %`,
                view.reason ?? view.progress?.limit ?? "",
              ]),
              ["DONE"],
            ),
      );
    });
