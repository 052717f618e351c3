/**
 * godwit for programs: `import { connect } from "godwit"`. A typed client of one agent, and the shapes it speaks.
 * Everything else in this package is the product's own and may change without notice.
 */
export { connectAgent as connect } from "./api/client.ts";
export type { CallOptions, ClientOptions, GodwitClient } from "./api/client.ts";
export type { Endpoint } from "./api/transport.ts";
export type { EventOptions } from "./api/events.ts";
export type { FollowOptions } from "./api/follow.ts";
export type { NewToken, Right, TokenRequest, TokenView, Whoami } from "./api/access.ts";
export type { AuditEntry, AuditVerification } from "./api/audit.ts";
export type { AgentEvent, CheckReport, Finding, HostFacts, PeerView, Problem, VmView } from "./api/host.ts";
export type { MachineSpec } from "./api/machine.ts";
export type {
  MigrateRequest,
  MigrateSettings,
  MigrationView,
  Outcome,
  PhaseName,
  Progress,
} from "./api/migration.ts";
export type { Page } from "./api/pages.ts";
export type { RecordedSample, Recording } from "./api/recording.ts";
export type { Observation, Report } from "./api/report.ts";
export { CodedError, type ErrorCode } from "./std/errors.ts";
