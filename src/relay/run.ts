/** One side of one relay from its configuration to its result file. */
import { renameSync, writeFileSync } from "node:fs";

import { CodedError, toCodedError } from "../std/errors.ts";
import { TokenBucket } from "./bucket.ts";
import type { RelayConfig } from "./config.ts";
import type { Side } from "./side.ts";
import { SourceSide } from "./source.ts";
import type { RelayStatus } from "./status.ts";
import { serveStatus } from "./status-socket.ts";
import { TargetSide } from "./target.ts";

const MICROSECONDS = 1e6;

export interface RunningRelay {
  /** The final status. Never rejects. */
  readonly ended: Promise<RelayStatus>;
  /** Both relays know each other. Rejects with why they never will. */
  readonly connected: Promise<void>;
  /** After a good end, whether `keep` has something to do. */
  readonly mayKeep: boolean;
  /** Writes the page store for the next migration. Nobody waits for it. @throws CodedError when it cannot. */
  keep(): void;
  status(): RelayStatus;
  abort(error: CodedError): void;
}

/** Settles when it can be asked for its status, and at the target when it listens. */
export async function runRelay(config: RelayConfig): Promise<RunningRelay> {
  const stop = new AbortController();
  const bucket = new TokenBucket(config.bandwidthBytesPerSecond, performance.now());
  let error: CodedError | undefined;
  const { side, started, ready } = openSide(config, bucket, stop.signal);
  const status = (): RelayStatus => statusOf(config, side, bucket, error);
  const abort = (why: CodedError): void => {
    stop.abort(why);
    side.abort(why);
  };
  const server = await serveStatus(config.statusSocket, {
    status,
    setBandwidth: (bytesPerSecond) => bucket.setRate(bytesPerSecond, performance.now()),
    dial: (target) => side.dial?.(target),
    abort: (why) => abort(new CodedError("LINK_LOST", { why })),
  });
  const ended = side.ended.then((how) => {
    error = how;
    side.kept?.judge(how);
    const last = status();
    try {
      writeFileSync(`${config.resultFile}.new`, JSON.stringify(last), { mode: 0o600 });
      renameSync(`${config.resultFile}.new`, config.resultFile);
    } catch (cause) {
      error = toCodedError(cause);
    }
    server.close();
    return last;
  });
  started.catch((reason: unknown) => side.abort(toCodedError(reason)));
  await Promise.race([ready, ended]);
  return {
    ended,
    connected: started,
    get mayKeep() {
      return error === undefined && side.kept?.isKept === true;
    },
    keep: () => side.kept?.keep(),
    status,
    abort,
  };
}

interface Opened {
  readonly side: Side;
  readonly started: Promise<void>;
  readonly ready: Promise<void>;
}

function openSide(config: RelayConfig, bucket: TokenBucket, signal: AbortSignal): Opened {
  const ready = Promise.withResolvers<void>();
  if (config.side === "source") {
    const side = new SourceSide({ config, bucket, signal });
    ready.resolve();
    return { side, started: side.start(), ready: ready.promise };
  }
  const side = new TargetSide({ config, bucket, signal });
  return { side, started: side.start(ready.resolve), ready: ready.promise };
}

function statusOf(
  { id, side: name }: RelayConfig,
  side: Side,
  bucket: TokenBucket,
  error: CodedError | undefined,
): RelayStatus {
  const own = side.status();
  const { user, system } = process.cpuUsage();
  const [qemuBytes, wireBytes] =
    name === "source" ? [own.qemuBytesIn, own.wireBytesOut] : [own.qemuBytesOut, own.wireBytesIn];
  return {
    id,
    side: name,
    pid: process.pid,
    ...own,
    ratio: wireBytes === 0 ? null : qemuBytes / wireBytes,
    bandwidthBytesPerSecond: bucket.bytesPerSecond,
    cpuSeconds: (user + system) / MICROSECONDS,
    rssBytes: process.memoryUsage.rss(),
    error: error === undefined ? null : { code: error.code, message: error.message },
  };
}
