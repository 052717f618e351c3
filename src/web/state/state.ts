/** All the dashboard knows: what the agent said last, and whether it can still be heard. */
import type { Whoami } from "../../api/access.ts";
import type { Answer } from "../../api/client.ts";
import type { VmView } from "../../api/host.ts";
import type { ClientLatency } from "../../api/latency.ts";
import type { MigrationView } from "../../api/migration.ts";
import type { Refusal } from "../data/refusal.ts";
import type { Trail } from "./trail.ts";

export type Connection =
  | { readonly is: "connecting" }
  | { readonly is: "live" }
  /** Tries again by itself; what is shown is as old as `sinceMs`. */
  | { readonly is: "away"; readonly sinceMs: number; readonly refusal: Refusal }
  /** Will not get better by waiting: no token, or not the right one. */
  | { readonly is: "refused"; readonly refusal: Refusal };

export interface State {
  readonly connection: Connection;
  /** Whose token this is, and what it may. */
  readonly me: Whoami | undefined;
  readonly host: Answer<"host"> | undefined;
  /** By host and name: while one migrates, two hosts have it. */
  readonly vms: ReadonlyMap<string, VmView>;
  /** False until the first answer: an empty list is not the same as none yet. */
  readonly vmsKnown: boolean;
  readonly migrations: ReadonlyMap<string, MigrationView>;
  readonly trails: ReadonlyMap<string, Trail>;
  /** What a client waits, of migrations that somebody watches from outside. */
  readonly latencies: ReadonlyMap<string, ClientLatency>;
}

export const EMPTY: State = {
  connection: { is: "connecting" },
  me: undefined,
  host: undefined,
  vms: new Map(),
  vmsKnown: false,
  migrations: new Map(),
  trails: new Map(),
  latencies: new Map(),
};

export const vmKey = (host: string, name: string): string => `${host}/${name}`;
