/** What both sides of a relay share: how they are watched and ended from outside. */
import type { CodedError } from "../std/errors.ts";
import type { TokenBucket } from "./bucket.ts";
import type { RelayConfig } from "./config.ts";
import type { RelayStatus } from "./status.ts";
import { SLOW_LINK_BYTES_PER_SECOND } from "./limits.ts";

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
>;

export interface Side {
  /** How it ended: undefined when all was carried. Never rejects. */
  readonly ended: Promise<CodedError | undefined>;
  status(): SideStatus;
  abort(error: CodedError): void;
}

export interface SideOptions<Config extends RelayConfig> {
  readonly config: Config;
  readonly bucket: TokenBucket;
  readonly signal: AbortSignal;
}

/** The zstd level; undefined: none. */
export function levelOf({ codec, bandwidthBytesPerSecond }: RelayConfig): number | undefined {
  if (codec === "off") return undefined;
  if (codec !== "auto") return codec.level;
  return (bandwidthBytesPerSecond ?? Infinity) < SLOW_LINK_BYTES_PER_SECOND ? 3 : 1;
}
