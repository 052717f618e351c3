/**
 * The relay's process: `node src/relay/main.ts CONFIG.json`, or `--standby DIR TLS-DIR NAME [STORE]` with the configuration named
 * later, as a line of standard input. Exit code 0 when all was carried.
 */
import { flushCompileCache } from "node:module";
import { setPriority } from "node:os";
import { setTimeout as delay } from "node:timers/promises";

import { CodedError, toCodedError } from "../std/errors.ts";
import { readConfig } from "./config.ts";
import { KEEP_AFTER_MS } from "./limits.ts";
import { awaitOrders } from "./orders.ts";
import { runRelay, type RunningRelay } from "./run.ts";

const LEAST_PRIORITY = 19;

const [, , ...args] = process.argv;
try {
  const isStandby = args[0] === "--standby";
  const file = isStandby ? await awaitOrders(args.slice(1)) : args[0];
  // Nobody will ever name one.
  if (isStandby && file === undefined) process.exit();
  if (file === undefined) throw new CodedError("USAGE", { problem: "A relay needs its configuration file." });
  const relay = await runRelay(readConfig(file));
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () =>
      relay.abort(new CodedError("LINK_LOST", { why: `the relay was sent ${signal}` })),
    );
  }
  const { error, port } = relay.status();
  if (port !== null && error === null) process.stdout.write(`listening on port ${port}\n`);
  // Now, because most relays are ended from outside, with nothing left to say.
  flushCompileCache();
  const last = await relay.ended;
  if (last.error !== null) process.stderr.write(`${last.error.code}: ${last.error.message}\n`);
  process.exitCode = last.error === null ? 0 : 1;
  if (relay.mayKeep) await keepQuietly(relay);
} catch (error) {
  process.stderr.write(`${toCodedError(error).message}\n`);
  process.exitCode = 2;
}

/** All was said and carried; both hosts are now busy with the guest. */
async function keepQuietly(relay: RunningRelay): Promise<void> {
  await delay(KEEP_AFTER_MS);
  setPriority(LEAST_PRIORITY);
  try {
    relay.keep();
  } catch (error) {
    process.stderr.write(`the page store was not kept: ${toCodedError(error).message}\n`);
  }
}
