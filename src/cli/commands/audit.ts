/** godwit audit: every change and refusal at a host's agent, newest first; --verify shows whether the log is whole. */
import type { Command } from "commander";

import { CodedError, ExitCode } from "../../std/errors.ts";
import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { printResult, renderTable } from "../output.ts";

const LIMIT_DEFAULT = 50;

interface AuditFlags extends CommonFlags {
  readonly limit: string;
  readonly verify?: true;
}

export const auditCommand = (cli: Cli): Command =>
  withCommon(verb("audit", "", "godwit audit --limit 20", "godwit audit --verify"))
    .option("--limit <n>", "how many at most", String(LIMIT_DEFAULT))
    .option("--verify", "see whether an entry was changed or taken out; leaves with 6 if so")
    .action(async (flags: AuditFlags) => {
      const { connect } = await import("../connect.ts");
      const { client } = connect(cli, flags);
      if (flags.verify === true) {
        const found = await client.auditVerification();
        if (!found.ok) cli.exitCode = ExitCode.postCheckFailed;
        return printResult(cli, flags.output, found, () =>
          found.broken === null
            ? `The audit log is whole: ${found.entries} entries. Head: ${found.head.seq} ${found.head.hash}`
            : `The audit log is broken at entry ${found.broken.seq}: ${found.broken.why}.`,
        );
      }
      if (!/^\d{1,3}$/.test(flags.limit) || Number(flags.limit) < 1) {
        throw new CodedError("USAGE", {
          problem: `--limit ${flags.limit}: a whole number from 1 to 999 is needed.`,
        });
      }
      const { items } = await client.audit({ query: { limit: Number(flags.limit) } });
      await printResult(cli, flags.output, items, () =>
        items.length === 0
          ? "Nothing was changed or refused yet."
          : renderTable(
              ["SEQ", "WHEN", "WHO", "WHAT", "TO", "OUTCOME"],
              items.map((entry) => [
                String(entry.seq),
                entry.at,
                entry.who,
                entry.what,
                entry.to,
                `${entry.code ?? entry.outcome}${entry.times > 1 ? ` (${entry.times} times)` : ""}`,
              ]),
              ["SEQ"],
            ),
      );
    });
