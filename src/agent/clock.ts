/** The agent's clocks: CLOCK_MONOTONIC of this machine, and which boot it belongs to. */
import { readFileSync } from "node:fs";

/** CLOCK_MONOTONIC in nanoseconds: one clock for every process and namespace of a machine. */
export const nowNs = (): bigint => process.hrtime.bigint();
export const nowMs = (): number => Number(process.hrtime.bigint() / 1000n) / 1000;

/** Two hosts with the same boot id are one machine, so their monotonic clocks are one clock. */
export const bootId = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
