/** How a refusal is shown: the sentence, why, and what to do next; or a problem object for programs. */
import { toCodedError, type CodedError } from "../std/errors.ts";
import type { Cli } from "./context.ts";
import { plain, serialise, type Format } from "./output.ts";

/** A chain longer than this is a loop or tells nothing. */
const CAUSES_MAX = 5;

/** Shows it on stderr and sets the exit code it asks for. */
export async function showRefusal(cli: Cli, error: unknown, format: Format): Promise<void> {
  const refused = toCodedError(error);
  cli.exitCode = refused.exit;
  if (format !== "table") {
    cli.say((await serialise(format, problemOf(refused))).trimEnd());
    return;
  }
  const { stderr } = cli;
  cli.say(`${cli.style(stderr, ["red", "bold"], "error:")} ${plain(refused.message)}`);
  for (const why of causesOf(refused)) cli.say(`  because: ${plain(why)}`);
  cli.say(`${cli.style(stderr, "cyan", "→")} ${plain(refused.next)}`);
}

/** problem+json, as the agent sends it. */
export const problemOf = (refused: CodedError) => ({
  type: `urn:godwit:error:${refused.code}`,
  title: refused.code,
  status: refused.status,
  code: refused.code,
  detail: refused.message,
  next: refused.next,
  details: refused.details,
});

/** Why, from the nearest cause to the furthest, leaving out what a sentence before it said already. */
function causesOf(refused: CodedError): string[] {
  const said = [refused.message];
  let cause: unknown = refused.cause;
  while (cause instanceof Error && said.length <= CAUSES_MAX) {
    const { message } = cause;
    if (message !== "" && !said.some((earlier) => earlier.includes(message))) said.push(message);
    cause = cause.cause;
  }
  return said.slice(1);
}
