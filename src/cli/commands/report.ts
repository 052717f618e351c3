/** godwit report: everything measured of one migration. */
import type { Command } from "commander";

import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { printResult } from "../output.ts";

export const reportCommand = (cli: Cli): Command =>
  withCommon(verb("report", "", "godwit report db-1", "godwit report db-1 -o json"))
    .argument("<id-or-vm>", "a migration, or the newest of a VM")
    .action(async (idOrVm: string, flags: CommonFlags) => {
      const { connect, findMigration } = await import("../connect.ts");
      const { reportText } = await import("../report-view.ts");
      const { client, view } = await findMigration(connect(cli, flags), idOrVm);
      const report = await client.report({ params: { id: view.id } });
      await printResult(cli, flags.output, report, () => reportText(report));
    });
