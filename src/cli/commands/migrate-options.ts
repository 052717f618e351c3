/** The options of migrate and check: ours, and virsh's spellings where the idea is the same. */
import type { Command } from "commander";

import { CodedError } from "../../std/errors.ts";
import type { MigrateFlags } from "../migrate-flags.ts";

export interface PolicyFlag {
  readonly policy?: string;
}

export const withMigrateOptions = (command: Command): Command =>
  command
    .argument("<vm>", "the VM's name")
    .requiredOption("--to <host>", "the target host")
    .option("--technique <name>", "stop-and-copy, pre-copy (default), post-copy, hybrid or auto")
    .option("--bandwidth <rate>", "cap for all bytes sent, for example 100MiB/s or 1Gbit/s")
    .option("--max-downtime <time>", "the pause asked for (default 300ms)")
    .option("--adaptive-downtime <ceiling>", "adapt the pause to the working set, up to this, for example 2s")
    .option("--rounds <n>", "stop copying after this many rounds")
    .option("--bytes-factor <factor>", "stop copying after sending this many times the VM's memory")
    .option("--remaining <size>", "switch over when no more than this is dirty, for example 8MiB")
    .option("--switch <when>", "hybrid: after-rounds=N, stalled or shorter-stall")
    .option("--timeout <time>", "the end of patience, for example 10m")
    .option("--on-timeout <action>", "then: cancel (default), post-copy, force=CEILING or throttle=PERCENT")
    .option("--policy <file>", "a ladder of actions as YAML or JSON, in place of --on-timeout")
    .option("--verify-memory", "compare all memory on both hosts; lengthens the pause")
    .option("--wire <way>", "auto (default: by measurement), relay, or direct from QEMU to QEMU")
    .option(
      "--multifd-channels <n>",
      "direct: QEMU's multifd with so many connections (virsh: --parallel --parallel-connections)",
    )
    .option(
      "--compression <method>",
      "direct: zlib or zstd in multifd's channels, with a level: zstd:1 (virsh: --comp-methods)",
    )
    .option(
      "--xbzrle-cache <size>",
      "direct: QEMU's XBZRLE with such a cache, for example 64MiB (virsh: --comp-xbzrle-cache)",
    )
    .option("--live", "virsh's: always so here")
    .option("--postcopy", "virsh's: hybrid, unless --technique says otherwise")
    .option("--postcopy-after-precopy", "virsh's: hybrid, post-copy after one round")
    .option("--auto-converge [percent]", "virsh's: slow the vCPUs down, up to this")
    .option("--parallel", "virsh's: multifd, 2 channels unless --parallel-connections says more")
    .option("--parallel-connections <n>", "virsh's: multifd's channels")
    .option("--compressed", "virsh's: XBZRLE, unless --comp-methods says otherwise")
    .option("--comp-methods <methods>", "virsh's: xbzrle, zlib or zstd")
    .option("--comp-zlib-level <n>", "virsh's: zlib's level")
    .option("--comp-zstd-level <n>", "virsh's: zstd's level")
    .option("--comp-xbzrle-cache <size>", "virsh's, with a unit here: for example 64MiB")
    .option("--timeout-suspend", "virsh's: at the timeout pause, however long it takes")
    .option("--timeout-postcopy", "virsh's: at the timeout change to post-copy");

/** The request, with the policy file read. */
export async function migrateRequestOf(flags: MigrateFlags & PolicyFlag) {
  const { parsePolicy, requestFromFlags } = await import("../migrate-flags.ts");
  if (flags.policy === undefined) return requestFromFlags(flags);
  const { readFile } = await import("node:fs/promises");
  const { parse } = await import("yaml");
  let value: unknown;
  try {
    // YAML reads JSON too.
    value = parse(await readFile(flags.policy, "utf8"));
  } catch (error) {
    const problem = `The policy ${flags.policy} cannot be read.`;
    throw new CodedError("USAGE", { problem, next: "Correct the file or its name." }, { cause: error });
  }
  return requestFromFlags(flags, parsePolicy(value));
}
