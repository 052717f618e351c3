/** Who a request comes from, as the listener it came through makes sure, and what that one may do. */
import type { TLSSocket } from "node:tls";

import type { Right, Whoami } from "../api/access.ts";
import { CodedError } from "../std/errors.ts";

export interface Identity {
  readonly kind: Whoami["kind"];
  /** The token's name or the peer's certified one; empty on the socket. */
  readonly name: string;
  readonly rights: readonly Right[];
  readonly expiresAt: string | null;
}

/** The socket's mode is 0600: who can open it is the agent's own user, or root. */
export const ON_SOCKET: Identity = { kind: "socket", name: "", rights: ["administer"], expiresAt: null };

/** The name in a peer's certificate, which the listener has verified. Whether it is one of our peers is asked later. */
export function peerIdentity(socket: object): Identity | undefined {
  if (!("getPeerCertificate" in socket)) return undefined;
  const certificate = (socket as TLSSocket).getPeerCertificate();
  const name: unknown = certificate?.subject?.CN;
  return {
    kind: "peer",
    name: typeof name === "string" ? name : "",
    rights: ["receive-here"],
    expiresAt: null,
  };
}

export const nameOf = ({ kind, name }: Identity): string => (name === "" ? kind : `${kind} ${name}`);

const TOKEN_CHARS_MAX = 200;

/** The token of an Authorization header; undefined without one. @throws CodedError TOKEN_INVALID for another scheme */
export function bearer(header: string | undefined): string | undefined {
  if (header === undefined) return undefined;
  const token = /^Bearer +([\w.~+/=-]+) *$/i.exec(header)?.[1];
  if (token === undefined || token.length > TOKEN_CHARS_MAX) throw new CodedError("TOKEN_INVALID");
  return token;
}
