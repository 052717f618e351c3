/** A page of VMs, by name and then host. Without a limit all are told: a host has tens of them, seldom hundreds. */
import type { VmView } from "../api/host.ts";
import { CodedError } from "../std/errors.ts";

export interface VmPageQuery {
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

export function pageOfVms(
  all: readonly VmView[],
  { limit, cursor }: VmPageQuery,
  goesOn: (cursor: string) => void,
): VmView[] {
  if (limit === undefined && cursor === undefined) return [...all];
  const after = cursor === undefined ? "" : decoded(cursor);
  const rest = all
    .map((vm) => ({ vm, key: `${vm.name} ${vm.host}` }))
    .filter(({ key }) => key > after)
    .toSorted((a, b) => (a.key < b.key ? -1 : 1));
  const page = rest.slice(0, limit ?? rest.length);
  const last = page.at(-1);
  if (last !== undefined && page.length < rest.length) goesOn(encoded(last.key));
  return page.map(({ vm }) => vm);
}

const encoded = (key: string): string => Buffer.from(key).toString("base64url");

function decoded(cursor: string): string {
  const key = Buffer.from(cursor, "base64url").toString("utf8");
  if (/^[a-z0-9.-]+ [a-z0-9-]+$/i.test(key)) return key;
  throw new CodedError("REQUEST_INVALID", { problem: "cursor: not one this agent gave out" });
}
