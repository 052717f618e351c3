/** Runs the small programs of this folder in a guest's client's place and gives what they print. */
import { z } from "zod";

import { programPath } from "../../std/program-path.ts";
import { guestPorts } from "../guest/workloads.ts";
import { inside, run } from "../run.ts";
import type { LabGuest } from "../state.ts";

const READ_BACK_TIMEOUT_MS = 60_000;
/** Sums over a gigabyte of pages under TCG. */
const VERIFY_TIMEOUT_MS = 120_000;
/** A program gets as long as its own deadline, and this to start and end. */
const START_MS = 10_000;

function program(
  guest: LabGuest,
  file: `./${string}.ts`,
  args: readonly string[],
  timeoutMs: number,
): Promise<string> {
  const [command, rest] = inside(guest.client.netns, [
    process.execPath,
    programPath(import.meta.url, file),
    ...args,
  ]);
  const attempts = guest.reachableAt.length;
  return run(command, rest, { timeoutMs: timeoutMs * attempts + START_MS });
}

const port = (guest: LabGuest, service: keyof typeof guestPorts): string =>
  String(guestPorts[service] + guest.portOffset);

/** @returns whether the guest's echo answered before the deadline. */
export async function waitForEcho(guest: LabGuest, deadlineMs: number): Promise<boolean> {
  const args = [String(deadlineMs), port(guest, "echo"), ...guest.reachableAt];
  return program(guest, "./wait-echo.ts", args, deadlineMs).then(
    () => true,
    () => false,
  );
}

const readBack = z.object({ acknowledged: z.number(), lost: z.number(), firstLost: z.number().nullable() });
export type ReadBack = z.infer<typeof readBack>;

/** Asks the guest's Redis for every write it acknowledged. */
export async function readWritesBack(guest: LabGuest, log: string): Promise<ReadBack> {
  const args = [log, String(READ_BACK_TIMEOUT_MS), port(guest, "redis"), ...guest.reachableAt];
  return readBack.parse(JSON.parse(await program(guest, "./redis-check.ts", args, READ_BACK_TIMEOUT_MS)));
}

const verified = z.object({
  pages: z.number(),
  bad: z.number(),
  firstBad: z.number().nullable(),
  checksum: z.string().max(64),
});
export type Verified = z.infer<typeof verified>;

/** Asks the guest's memory writer to compare every page with what it wrote there. */
export async function verifyWriter(guest: LabGuest): Promise<Verified> {
  const args = ["verify", String(VERIFY_TIMEOUT_MS), port(guest, "writer"), ...guest.reachableAt];
  return verified.parse(JSON.parse(await program(guest, "./ask-line.ts", args, VERIFY_TIMEOUT_MS)));
}
