/** What both sides of a relay share: how they are watched and ended from outside. */
import type { CodedError } from "../std/errors.ts";
import type { TokenBucket } from "./bucket.ts";
import type { RelayConfig, RelayTarget } from "./config.ts";
import type { KeptStore } from "./kept-store.ts";
import { firstLevelFor, LEVEL, type LevelName } from "../wire/choose.ts";
import type { RelayStatus } from "./status.ts";

/** The part of the status that only the side itself knows. */
export type SideStatus = Pick<
  RelayStatus,
  | "phase"
  | "port"
  | "mode"
  | "qemuBytesIn"
  | "qemuBytesOut"
  | "wireBytesIn"
  | "wireBytesOut"
  | "framesSent"
  | "roundTripMs"
  | "pageRecords"
  | "pages"
  | "reportPages"
  | "missingPages"
  | "wantedPages"
  | "droppedPages"
  | "refusedConnections"
  | "keptPages"
  | "bootPages"
  | "keptNote"
>;

export interface Side {
  /** How it ended: undefined when all was carried. Never rejects. */
  readonly ended: Promise<CodedError | undefined>;
  /** undefined while there is no page store. */
  readonly kept: KeptStore | undefined;
  status(): SideStatus;
  /** The source's: where to, if it was started without. Only the first word counts. */
  dial?(target: RelayTarget): void;
  abort(error: CodedError): void;
}

export interface SideOptions<Config extends RelayConfig> {
  readonly config: Config;
  readonly bucket: TokenBucket;
  readonly signal: AbortSignal;
}

/** What an automatic choice begins with: it takes a second to know better. */
export const firstLevelOf = ({ bandwidthBytesPerSecond, linkBytesPerSecond }: RelayConfig): LevelName =>
  firstLevelFor(Math.min(bandwidthBytesPerSecond ?? Infinity, linkBytesPerSecond ?? Infinity));

/** The zstd level at first; undefined: none, ever. */
export function levelOf(config: RelayConfig): number | undefined {
  if (config.codec === "off") return undefined;
  return config.codec === "auto" ? LEVEL[firstLevelOf(config)].level : config.codec.level;
}
