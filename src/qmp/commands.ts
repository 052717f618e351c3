/** The QMP commands godwit uses, with their arguments and answers (QEMU's qapi schema, 7.2). */
type None = Record<string, never>;

export interface MigrationInfo {
  readonly status?:
    | "none"
    | "setup"
    | "cancelling"
    | "cancelled"
    | "active"
    | "postcopy-active"
    | "postcopy-paused"
    | "postcopy-recover-setup"
    | "postcopy-recover"
    | "completed"
    | "failed"
    | "colo"
    | "pre-switchover"
    | "device"
    | "wait-unplug";
  readonly "total-time"?: number;
  readonly downtime?: number;
  readonly "expected-downtime"?: number;
  readonly "setup-time"?: number;
  readonly "error-desc"?: string;
  readonly "blocked-reasons"?: readonly string[];
  readonly "cpu-throttle-percentage"?: number;
  readonly "postcopy-blocktime"?: number;
  readonly "postcopy-vcpu-blocktime"?: readonly number[];
  readonly "socket-address"?: readonly {
    readonly type: string;
    readonly host?: string;
    readonly port?: string;
    readonly path?: string;
  }[];
  readonly ram?: {
    readonly transferred: number;
    readonly remaining: number;
    readonly total: number;
    readonly duplicate: number;
    readonly normal: number;
    readonly "normal-bytes": number;
    readonly "dirty-pages-rate": number;
    readonly mbps: number;
    readonly "dirty-sync-count": number;
    readonly "postcopy-requests": number;
    readonly "page-size": number;
    readonly "precopy-bytes"?: number;
    readonly "downtime-bytes"?: number;
    readonly "postcopy-bytes"?: number;
  };
}

export interface QmpCommands {
  "query-version": {
    arguments: None;
    returns: { qemu: { major: number; minor: number; micro: number }; package: string };
  };
  "query-status": { arguments: None; returns: { status: string; running: boolean } };
  "query-kvm": { arguments: None; returns: { enabled: boolean; present: boolean } };
  "query-machines": {
    arguments: None;
    returns: readonly { name: string; alias?: string; deprecated?: boolean }[];
  };
  "query-cpu-definitions": {
    arguments: None;
    returns: readonly { name: string; "unavailable-features"?: readonly string[] }[];
  };
  "query-migrate": { arguments: None; returns: MigrationInfo };
  /** What can be forced to let go of its connection: of type "migration" while one has not been closed. */
  "query-yank": { arguments: None; returns: readonly { type: string }[] };
  "query-migrate-capabilities": {
    arguments: None;
    returns: readonly { capability: string; state: boolean }[];
  };
  "migrate-set-capabilities": {
    arguments: { capabilities: readonly { capability: string; state: boolean }[] };
    returns: unknown;
  };
  "query-migrate-parameters": { arguments: None; returns: Readonly<Record<string, unknown>> };
  "migrate-set-parameters": { arguments: Readonly<Record<string, unknown>>; returns: unknown };
  migrate: { arguments: { uri: string; resume?: boolean }; returns: unknown };
  "migrate-incoming": { arguments: { uri: string }; returns: unknown };
  "migrate-continue": { arguments: { state: "pre-switchover" }; returns: unknown };
  "migrate-start-postcopy": { arguments: None; returns: unknown };
  "migrate-pause": { arguments: None; returns: unknown };
  "migrate-recover": { arguments: { uri: string }; returns: unknown };
  migrate_cancel: { arguments: None; returns: unknown };
  stop: { arguments: None; returns: unknown };
  cont: { arguments: None; returns: unknown };
  /** For example tls-creds-x509: read from its files when added, so add it afresh for each migration. */
  "object-add": {
    arguments: { readonly "qom-type": string; readonly id: string; readonly [property: string]: unknown };
    returns: unknown;
  };
  "object-del": { arguments: { id: string }; returns: unknown };
  quit: { arguments: None; returns: unknown };
  "announce-self": {
    arguments: { initial: number; max: number; rounds: number; step: number };
    returns: unknown;
  };
  pmemsave: { arguments: { val: number; size: number; filename: string }; returns: unknown };
  "human-monitor-command": { arguments: { "command-line": string }; returns: string };
}
