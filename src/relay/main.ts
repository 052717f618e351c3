/** The relay's process: `node src/relay/main.ts CONFIG.json`. Exit code 0 when all was carried. */
import { CodedError, toCodedError } from "../std/errors.ts";
import { readConfig } from "./config.ts";
import { runRelay } from "./run.ts";

const [, , file] = process.argv;
try {
  if (file === undefined) throw new CodedError("USAGE", { problem: "A relay needs its configuration file." });
  const relay = await runRelay(readConfig(file));
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () =>
      relay.abort(new CodedError("LINK_LOST", { why: `the relay was sent ${signal}` })),
    );
  }
  const { error, port } = relay.status();
  if (port !== null && error === null) process.stdout.write(`listening on port ${port}\n`);
  const last = await relay.ended;
  if (last.error !== null) process.stderr.write(`${last.error.code}: ${last.error.message}\n`);
  process.exitCode = last.error === null ? 0 : 1;
} catch (error) {
  process.stderr.write(`${toCodedError(error).message}\n`);
  process.exitCode = 2;
}
