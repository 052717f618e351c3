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
  /**
   * Where people and programs reach this agent, with tokens: plain HTTP on loopback, else TLS with the host's server
   * certificate. Left out: 127.0.0.1:7466, if that is free. `false`: nowhere.
   */
  http: z
    .union([
      z.literal(false),
      z.strictObject({
        address: z.string().default("127.0.0.1"),
        port: port.default(7466),
        /** Further names it is called by, beside those of the certificate (or localhost). */
        names: z.array(z.string().max(253)).max(100).default([]),
        /** GET /metrics without a token: they name VMs and hosts. */
        openMetrics: z.boolean().default(false),
      }),
    ])
    .optional(),
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
  /** Where traces of migrations go: the base URL of an OTLP/HTTP receiver. Absent: no tracing code is even loaded. */
  otel: z.strictObject({ endpoint: z.url({ protocol: /^https?$/ }) }).optional(),
  /**
   * What a guest leaves behind at both hosts when it moved by relay, so that its return, or a guest like it, sends only
   * what differs. One file per peer, up to 96 MiB of guest memory each. `false`: nothing is kept.
   */
  keptStores: z
    .union([
      z.literal(false),
      z.strictObject({
        /** Left out: `stores` beside the socket. Made if it is not there; nobody else's. */
        dir: z.string().startsWith("/").optional(),
        /** Of so many peers the newest are kept. */
        count: z.int().min(1).max(64).default(4),
      }),
    ])
    .prefault({}),
  /**
   * What relays may begin with when they kept nothing: the contents of the kernel and the initial file system that a guest
   * was started from, which both hosts have. Up to 72 MiB each. `false`: none is made or used.
   */
  bootStores: z
    .union([
      z.literal(false),
      z.strictObject({
        /** Left out: `boot` in the state folder. Made if it is not there; nobody else's. */
        dir: z.string().startsWith("/").optional(),
        /** Of so many pairs of files the last used are kept. */
        count: z.int().min(1).max(64).default(4),
      }),
    ])
    .prefault({}),
  /**
   * A relay that waits, loaded and rehearsed, for the next migration: one process of some 220 MB. `false`: each is started
   * when it is needed (docs/decisions/0007).
   */
  standbyRelay: z.boolean().default(true),
  /**
   * Links to peers are measured while nothing migrates, up to 13 MiB per peer in five minutes, so that no migration waits for it.
   * `false`: when a migration has to know.
   */
  measureLinks: z.boolean().default(true),
  /**
   * Guests' memory is looked at while nothing migrates, 8 MiB of each in five seconds, so that no migration waits for it. `false`:
   * when a migration has to know.
   */
  measureGuests: z.boolean().default(true),
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
