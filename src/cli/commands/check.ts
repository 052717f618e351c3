/** godwit check: the pre-flight, all findings at once. Changes nothing. */
import type { Command } from "commander";

import { ExitCode } from "../../std/errors.ts";
import type { Cli } from "../context.ts";
import type { MigrateFlags } from "../migrate-flags.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { plain, printResult } from "../output.ts";
import { migrateRequestOf, withMigrateOptions, type PolicyFlag } from "./migrate-options.ts";

type Flags = MigrateFlags & PolicyFlag & CommonFlags;

export const checkCommand = (cli: Cli): Command =>
  withCommon(withMigrateOptions(verb("check", "", "godwit check db-1 --to b"))).action(
    async (name: string, flags: Flags) => {
      const request = await migrateRequestOf(flags);
      const { connect, findVm } = await import("../connect.ts");
      const { client } = await findVm(connect(cli, flags), name);
      const checked = await client.check({ params: { name }, body: request });
      if (!checked.ok) cli.exitCode = ExitCode.blocked;
      await printResult(cli, flags.output, checked, () =>
        [
          ...checked.findings.flatMap((one) => [
            plain(`${one.severity} ${one.code}: ${one.what}`),
            plain(`  → ${one.next}`),
          ]),
          plain(
            checked.ok
              ? `${checked.vm} can move from ${checked.source} to ${checked.target}.`
              : `${checked.vm} cannot move from ${checked.source} to ${checked.target}.`,
          ),
        ].join("\n"),
      );
    },
  );
