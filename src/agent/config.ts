/** The agent's configuration file: YAML, every key checked, nothing guessed. */
import { readFileSync } from "node:fs";

import { parse } from "yaml";
import { z } from "zod";

import { CodedError } from "../std/errors.ts";

const hostName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,30}$/, "a host name has 1 to 31 of a-z 0-9 -");
const port = z.int().min(1).max(65535);

export const agentConfig = z.strictObject({
  name: hostName,
  /** Journal, VM folders. Survives restarts; one agent each. */
  stateDir: z.string().startsWith("/"),
  /** Unix socket for the CLI; mode 0600. */
  socket: z.string().startsWith("/").max(107),
  /** Where peers reach this agent, over TLS 1.3 with certificates on both sides. */
  listen: z.strictObject({ address: z.string(), port: port.default(7465) }),
  /** ca-cert.pem, server-cert.pem, server-key.pem, client-cert.pem, client-key.pem: made by `godwit host init`. */
  tlsDir: z.string().startsWith("/"),
  peers: z
    .array(z.strictObject({ name: hostName, address: z.string(), port: port.default(7465) }))
    .max(1000)
    .default([]),
  migration: z
    .strictObject({
      address: z.string().optional(),
      /** The range firewalls already open for QEMU and libvirt. */
      portMin: port.default(49152),
      portMax: port.default(49215),
      /** Its counters are read for the wire bytes of a report. */
      interface: z.string().max(15).optional(),
    })
    .prefault({}),
  qemu: z.string().default("qemu-system-x86_64"),
  forwardAddress: z.string().default("127.0.0.1"),
});
export type AgentConfig = z.infer<typeof agentConfig>;

export function readConfig(file: string): AgentConfig {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new CodedError("USAGE", { problem: `The configuration file ${file} cannot be read.` }, { cause });
  }
  const parsed = agentConfig.safeParse(parse(text));
  if (!parsed.success) {
    throw new CodedError("USAGE", { problem: `${file}: ${z.prettifyError(parsed.error)}` });
  }
  return parsed.data;
}
