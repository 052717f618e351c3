/** godwit history: migrations of the past, newest first. */
import type { Command } from "commander";

import { CodedError } from "../../std/errors.ts";
import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { printResult, renderTable } from "../output.ts";

const LIMIT_DEFAULT = 20;

export const historyCommand = (cli: Cli): Command =>
  withCommon(verb("history", "", "godwit history", "godwit history db-1 --limit 5"))
    .argument("[vm]", "only this VM's")
    .option("--limit <n>", "how many at most", String(LIMIT_DEFAULT))
    .action(async (vm: string | undefined, flags: CommonFlags & { limit: string }) => {
      if (!/^\d{1,4}$/.test(flags.limit) || Number(flags.limit) < 1) {
        throw new CodedError("USAGE", {
          problem: `--limit ${flags.limit}: a whole number above 0 is needed.`,
        });
      }
      const { allMigrations, connect } = await import("../connect.ts");
      const limit = Math.min(Number(flags.limit), 1000);
      const views = (await allMigrations(connect(cli, flags), { vm, limit }))
        .map(({ view }) => view)
        .filter((view) => vm === undefined || view.vm === vm)
        .slice(0, limit);
      await printResult(cli, flags.output, views, () =>
        views.length === 0
          ? "No migration yet."
          : renderTable(
              ["ID", "STARTED", "VM", "FROM", "TO", "TECHNIQUE", "OUTCOME", "WHY"],
              views.map((view) => [
                view.id,
                view.startedAt,
                view.vm,
                view.source,
                view.target,
                view.technique,
                view.outcome ?? view.phase,
                view.reason ?? "",
              ]),
            ),
      );
    });
