/**
 * What things of a lab are called and where they lie. Decides names only; touches nothing but the environment.
 *
 * The id is derived from the lab's folder, not drawn: a lab whose record is lost can still be found by name.
 */
import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";

import { VM_NAME } from "../api/machine.ts";
import { CodedError } from "../std/errors.ts";

export const DEFAULT_LAB = "default";
/** Interface names have 15 characters: `gw`, id, one letter and a number must fit with room. */
const ID_LENGTH = 4;
const LAB_NAME = /^[a-z0-9][a-z0-9-]{0,30}$/;
const HOST_NAME = /^[a-z0-9][a-z0-9-]{0,15}$/;
/** sun_path holds 108 bytes with its final zero. */
const SOCKET_PATH_MAX = 107;
export const HOSTS_FOLDER = "h";
export const OBSERVE_FOLDER = "observe";
/** Below a lab's folder: `/h/` host `/vms/` VM name `/console.sock`; 16 + 40 characters of names are promised. */
const SOCKET_TAIL = `/${HOSTS_FOLDER}/`.length + 16 + "/vms/".length + 40 + "/console.sock".length;

/** The host names the guests' bridge by this in its machine spec; the same on every host, so that a VM can move. */
export const GUEST_BRIDGE = "guests";
export const MIGRATION_INTERFACE = "mig0";
export const AGENT_PORT = 7465;
/** Where each agent listens for people: loopback, so plain HTTP; of its own namespace when it has one. */
export const HTTP_PORT = 7466;
export const DOOR_ADDRESS = "127.0.0.1";
/** In each host's own network these are free: what QEMU's migration streams may listen on. */
export const MIGRATION_PORTS = { min: 49_152, max: 49_215 } as const;

export function labHome(env: NodeJS.ProcessEnv = process.env): string {
  const own = env["GODWIT_LAB_HOME"];
  if (own !== undefined && own !== "") return own;
  const xdg = env["XDG_STATE_HOME"];
  const state = xdg !== undefined && xdg.startsWith("/") ? xdg : join(homedir(), ".local", "state");
  return join(state, "godwit", "lab");
}

export function checkNames(lab: string, hosts: readonly string[] = []): void {
  if (!LAB_NAME.test(lab)) {
    throw new CodedError("USAGE", { problem: `"${lab}" is not a lab's name: 1 to 31 of a-z 0-9 -.` });
  }
  for (const host of hosts) {
    // "net" is the namespace of the switch and the client, "net1" and so on those of further clients.
    if (!HOST_NAME.test(host) || !VM_NAME.test(host) || host.startsWith("net")) {
      throw new CodedError("USAGE", {
        problem: `"${host}" is not a host's name: 1 to 16 of a-z 0-9 -, and not beginning with "net".`,
      });
    }
  }
  if (new Set(hosts).size !== hosts.length) {
    throw new CodedError("USAGE", { problem: `A host is named twice: ${hosts.join(", ")}.` });
  }
}

/** `home` is named because two users, or two test runs, may each have a lab of the same name. */
export function labPlace(name: string, home: string = labHome()): LabPlace {
  const folder = join(home, name);
  const digest = createHash("sha256").update(folder).digest();
  const id = (digest.readUIntBE(0, 6) % 36 ** ID_LENGTH).toString(36).padStart(ID_LENGTH, "0");
  const short = join(
    process.env["XDG_RUNTIME_DIR"] ?? (process.getuid?.() === 0 ? "/run" : "/tmp"),
    `gw-${id}`,
  );
  const tooLong = Buffer.byteLength(folder) + SOCKET_TAIL > SOCKET_PATH_MAX;
  return {
    name,
    id,
    home,
    folder,
    shortFolder: tooLong ? short : folder,
    subnet: 1 + (digest.readUInt16BE(6) % 254),
  };
}

export interface LabPlace {
  readonly name: string;
  readonly id: string;
  readonly home: string;
  readonly folder: string;
  /** The same folder under a path short enough for unix sockets; a symbolic link when `folder` is too long. */
  readonly shortFolder: string;
  /** The n of 10.77.n.0/24, 10.78.n.0/24 and 127.77.n.0/24. */
  readonly subnet: number;
}

export const namespacePrefix = (id: string): string => `gw-${id}-`;
export const hostNamespace = (id: string, host: string): string => namespacePrefix(id) + host;
/** Of the switch and the first guest's client; with a number, of the client of another guest. */
export const netNamespace = (id: string, guest = 0): string =>
  `${namespacePrefix(id)}net${guest === 0 ? "" : guest}`;

/** Interfaces of the switch: m and g for the migration and guest network, with a host's number for its port; d delays, c clients. */
export const switchInterface = (id: string, kind: "m" | "g" | "d" | "c", number?: number): string =>
  `gw${id}${kind}${number ?? ""}`;

export const migrationAddress = (subnet: number, host: number, rootless: boolean): string =>
  rootless ? `127.77.${subnet}.${host + 1}` : `10.77.${subnet}.${host + 1}`;
/** Guests get 10.78.n.10 and up, their clients 10.78.n.1 and then 10.78.n.130 and up. */
const FIRST_GUEST = 10;
const FIRST_CLIENT = 129;
export const GUESTS_MAX = 100;
/**
 * Beacons of all guests go to one port, so every guest has a client of its own; the first one's is where the switch
 * is.
 */
export const clientAddress = (subnet: number, guest = 0): string =>
  `10.78.${subnet}.${guest === 0 ? 1 : FIRST_CLIENT + guest}`;
export const guestAddress = (subnet: number, guest: number): string =>
  `10.78.${subnet}.${FIRST_GUEST + guest}`;
/** Locally administered, and different in every lab: labs may share a network when a person joins them. */
export const guestMac = (subnet: number, guest: number): string =>
  `52:54:78:${[subnet, Math.floor(guest / 256), guest % 256].map((n) => n.toString(16).padStart(2, "0")).join(":")}`;
