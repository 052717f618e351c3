/**
 * The routes that are about the agent itself: who may ask it what, what was asked, what it remembers of past migrations,
 * and what it passes on to its listeners. Everything that touches a VM is agent.ts's.
 */
import type { MigrationView } from "../api/migration.ts";
import type { Recording } from "../api/recording.ts";
import type { localRoutes } from "../api/routes.ts";
import { CodedError } from "../std/errors.ts";
import type { AuditLog } from "./audit.ts";
import type { EventHub } from "./events.ts";
import type { Handlers } from "./http.ts";
import { nameOf } from "./identity.ts";
import type { Recorder } from "./recorder.ts";
import type { MigrationRecord, Store } from "./store.ts";
import type { Tokens } from "./tokens.ts";

export type OfficeKey =
  | "migrations"
  | "recording"
  | "recordings"
  | "tellLatency"
  | "whoami"
  | "tokens"
  | "createToken"
  | "revokeToken"
  | "audit"
  | "auditVerification";
export type OfficeRoutes = Pick<typeof localRoutes, OfficeKey>;

export interface OfficeParts {
  readonly config: { readonly name: string };
  readonly agent: { readonly hub: EventHub; view(record: MigrationRecord): MigrationView };
  readonly store: Store;
  readonly tokens: Tokens;
  readonly audit: AuditLog;
  readonly recorder: Recorder;
}

export const office = ({
  config,
  agent,
  store,
  tokens,
  audit,
  recorder,
}: OfficeParts): Handlers<OfficeRoutes> => ({
  migrations: ({ query }) => {
    const page = store.migrations(query.limit, query, query.cursor);
    const items = page.items.map((record) => {
      const figures = store.figures(record.id);
      return { ...agent.view(record), ...(figures === undefined ? {} : { figures }) };
    });
    return { items, next: page.next };
  },
  recording: ({ params }) => {
    const record = known(store, params.id);
    const { intervalMs, samples } = recorder.samples(params.id);
    return {
      view: agent.view(record),
      intervalMs,
      samples: [...samples],
      timeline: timelineOf(record, config.name),
    };
  },
  recordings: ({ query }) => recorder.list(query.limit, query.vm, query.cursor),
  // Of one that has ended nobody waits for more: its report is told the whole.
  tellLatency: ({ params, body: latency }) => {
    const { outcome } = agent.view(known(store, params.id));
    if (outcome === undefined) agent.hub.publish({ type: "latency", migration: params.id, latency });
    return latency;
  },
  whoami: ({ caller }) => ({
    kind: caller.kind,
    name: caller.name,
    rights: [...caller.rights],
    expiresAt: caller.expiresAt,
    host: config.name,
  }),
  tokens: () => tokens.list(),
  createToken: ({ body, caller }) => tokens.create(body, nameOf(caller)),
  revokeToken: ({ params }) => tokens.revoke(params.name),
  audit: ({ query }) => audit.list(query.limit, query.since, query.cursor),
  auditVerification: () => audit.verify(),
});

function known(store: Store, id: string): MigrationRecord {
  const record = store.migration(id);
  if (record === undefined) throw new CodedError("MIGRATION_UNKNOWN", { migration: id });
  return record;
}

/** This side's events, since the migration was accepted here. */
const timelineOf = (record: MigrationRecord, host: string): Recording["timeline"] =>
  record.timeline.map(({ atNs, what }) => ({
    atMs: Number((BigInt(atNs) - BigInt(record.t0Ns)) / 1000n) / 1000,
    host,
    what,
  }));
