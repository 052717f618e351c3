/** What a relay is told when it is started, checked once. What it does with it is left to the others. */
import { isIP } from "node:net";
import { readFileSync } from "node:fs";

import { z } from "zod";

import { CodedError } from "../std/errors.ts";
import { STORE_BYTES_DEFAULT, STORE_SLOTS_MAX, STRIPES_MAX } from "../wire/limits.ts";
import { PAGE_BYTES } from "../page/types.ts";

const port = z.int().min(0).max(65_535);
const path = z.string().min(1).max(1024);
/** sun_path without its final zero byte. */
const socketPath = z.string().min(1).max(107);
const LEVEL_MAX = 19;

const common = {
  /** The migration's. */
  id: z.string().min(1).max(128),
  /** Folder with ca-cert.pem and {server,client}-{cert,key}.pem. */
  tlsDir: path.optional(),
  /** Without TLS; for tests, and only where nobody else can listen. */
  insecure: z.boolean().default(false),
  /** The name on the other side's certificate. */
  peerName: z.string().min(1).max(255),
  qemuSocket: socketPath,
  statusSocket: socketPath,
  /** Final counters are left here. */
  resultFile: path,
  capabilities: z.strictObject({ postcopyRam: z.boolean() }),
  bandwidthBytesPerSecond: z.number().positive().nullable(),
  /** What the link was seen to carry, for what an automatic codec begins with. */
  linkBytesPerSecond: z.number().positive().optional(),
  codec: z.union([z.strictObject({ level: z.int().min(1).max(LEVEL_MAX) }), z.enum(["auto", "off"])]),
  /** Off: bytes are passed through as QEMU wrote them, compressed at most. */
  encode: z.boolean(),
  storeBytes: z
    .int()
    .min(PAGE_BYTES)
    .max(STORE_SLOTS_MAX * PAGE_BYTES)
    .default(STORE_BYTES_DEFAULT),
  /** Where the page store lies between migrations with this peer. Absent: nothing is kept. */
  storeFile: path.optional(),
  /** What is begun with where nothing kept is of use: made by boot-store.ts. */
  bootFile: path.optional(),
  /** The stream continues a broken post-copy. */
  recovery: z.boolean().default(false),
};

/** Where a target's relay listens. */
export const relayTarget = z.strictObject({ address: z.string().min(1).max(255), port });
export type RelayTarget = z.infer<typeof relayTarget>;

const source = z.strictObject({
  side: z.literal("source"),
  ...common,
  /** Left out: the relay is told later, over its status socket. */
  target: relayTarget.optional(),
  connections: z.int().min(1).max(STRIPES_MAX),
});
const target = z.strictObject({
  side: z.literal("target"),
  ...common,
  listen: z.strictObject({ address: z.string().min(1).max(255), portMin: port, portMax: port }),
});

export const relayConfig = z
  .discriminatedUnion("side", [source, target])
  .refine((config) => config.insecure || config.tlsDir !== undefined, "tlsDir is needed")
  .refine(
    (config) => !config.insecure || mayBeInsecure(config.side === "source" ? config.target : config.listen),
    "insecure is for loopback addresses only",
  );

export type RelayConfig = z.infer<typeof relayConfig>;
export type RelayConfigInput = z.input<typeof relayConfig>;
export type SourceConfig = Extract<RelayConfig, { side: "source" }>;
export type TargetConfig = Extract<RelayConfig, { side: "target" }>;

/** Nobody else can be there. What is not known yet is looked at when it is told. */
export const mayBeInsecure = (at: Pick<RelayTarget, "address"> | undefined): boolean =>
  at === undefined || isLoopback(at.address);

function isLoopback(address: string): boolean {
  return address === "::1" || (isIP(address) === 4 && address.startsWith("127."));
}

/** @throws CodedError USAGE */
export function checkConfig(value: unknown): RelayConfig {
  const parsed = relayConfig.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new CodedError("USAGE", { problem: `The relay's configuration: ${z.prettifyError(parsed.error)}` });
}

/** @throws CodedError USAGE */
export function readConfig(file: string): RelayConfig {
  try {
    return checkConfig(JSON.parse(readFileSync(file, "utf8")));
  } catch (error) {
    if (error instanceof CodedError) throw error;
    throw new CodedError("USAGE", { problem: `${file}: ${(error as Error).message}` }, { cause: error });
  }
}
