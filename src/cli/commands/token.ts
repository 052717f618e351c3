/** godwit token: who may ask this host's agent over HTTP, and what (create, list, revoke). */
import { type Command, Option } from "commander";

import { RIGHTS, type Right, type TokenView } from "../../api/access.ts";
import { CodedError } from "../../std/errors.ts";
import { parseDuration } from "../../std/units.ts";
import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { printResult, renderTable } from "../output.ts";

export const tokenCommand = (cli: Cli): Command =>
  verb("token", "", "godwit token create --name alice --rights read,send-from-here", "godwit token list")
    .addCommand(createCommand(cli))
    .addCommand(listCommand(cli))
    .addCommand(revokeCommand(cli));

interface CreateFlags extends CommonFlags {
  readonly name: string;
  readonly rights: readonly Right[];
  readonly expires?: string;
}

const createCommand = (cli: Cli): Command =>
  withCommon(
    verb(
      "create",
      "make a token; it is printed once, and only its hash is kept",
      "godwit token create --name alice --rights read,send-from-here --expires 30d",
    ),
  )
    .requiredOption("--name <name>", "whose it is, in the list and in the audit log")
    .addOption(
      new Option("--rights <rights>", `what it allows, with commas: ${RIGHTS.join(", ")}`)
        .makeOptionMandatory()
        .argParser(parseRights),
    )
    .option(
      "--expires <duration>",
      "for how long it is valid, as 30d or 12h; until it is revoked, if left out",
    )
    .action(async ({ name, rights, expires, ...flags }: CreateFlags) => {
      const { connect } = await import("../connect.ts");
      const made = await connect(cli, flags).client.createToken({
        body: {
          name,
          rights: [...rights],
          ...(expires === undefined ? {} : { expiresInMs: parseDuration(expires) }),
        },
      });
      cli.say(`Token ${made.name} (${shown(made)}). It is not shown again:`);
      await printResult(cli, flags.output, made, () => made.token);
    });

const listCommand = (cli: Cli): Command =>
  withCommon(verb("list", "the tokens that are valid now", "godwit token list")).action(
    async (flags: CommonFlags) => {
      const { connect } = await import("../connect.ts");
      const tokens = await connect(cli, flags).client.tokens();
      await printResult(cli, flags.output, tokens, () =>
        tokens.length === 0
          ? "No token is valid here. The agent's unix socket needs none."
          : renderTable(
              ["NAME", "RIGHTS", "MADE", "BY", "EXPIRES"],
              tokens.map((token) => [
                token.name,
                token.rights.join(", "),
                token.createdAt,
                token.createdBy,
                token.expiresAt ?? "never",
              ]),
            ),
      );
    },
  );

const revokeCommand = (cli: Cli): Command =>
  withCommon(verb("revoke", "end a token now; streams it has open end too", "godwit token revoke alice"))
    .argument("<name>", "as in godwit token list")
    .action(async (name: string, flags: CommonFlags) => {
      const { connect } = await import("../connect.ts");
      const revoked = await connect(cli, flags).client.revokeToken({ params: { name } });
      await printResult(cli, flags.output, revoked, () => `Token ${revoked.name} is revoked.`);
    });

function parseRights(text: string): Right[] {
  return text.split(",").map((word) => {
    const right = RIGHTS.find((one) => one === word.trim());
    if (right !== undefined) return right;
    throw new CodedError("USAGE", {
      problem: `--rights ${text}: "${word}" is no right.`,
      next: `Rights are ${RIGHTS.join(", ")}.`,
    });
  });
}

const shown = ({ rights, expiresAt }: TokenView): string =>
  `${rights.join(", ")}; ${expiresAt === null ? "until revoked" : `until ${expiresAt}`}`;
