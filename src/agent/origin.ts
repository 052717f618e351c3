/**
 * Whether a request was really meant for this agent: its Host must be one of the agent's names, and a page that sends
 * it must be the agent's own. This keeps web pages elsewhere out, also those whose name is made to lead here (DNS
 * rebinding).
 */
import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";

import { CodedError } from "../std/errors.ts";

export interface Origins {
  readonly host: string | undefined;
  readonly origin: string | undefined;
}

/** @throws CodedError ORIGIN_REFUSED */
export function refuseStrangers({ host, origin }: Origins, isOurs: (name: string) => boolean): void {
  const url = URL.parse(`http://${host ?? ""}`);
  const bare = url !== null && url.host !== "" && url.pathname === "/" && url.search + url.hash === "";
  const named = bare && url.username + url.password === "";
  if (!named || !isOurs(url.hostname.replace(/^\[|\]$/g, "").replace(/\.$/, ""))) {
    throw new CodedError("ORIGIN_REFUSED", { header: "Host", value: shown(host) });
  }
  if (origin === undefined) return;
  // "null" is what a sandboxed page or a file sends.
  if (!/^https?:/.test(origin) || withoutScheme(origin) !== host?.toLowerCase()) {
    throw new CodedError("ORIGIN_REFUSED", { header: "Origin", value: shown(origin) });
  }
}

const withoutScheme = (origin: string): string => origin.toLowerCase().replace(/^https?:\/\//, "");
const shown = (value: string | undefined): string => (value ?? "nothing").slice(0, 200);

export const isLoopback = (name: string): boolean =>
  name === "localhost" || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name);

/** The names of a listener: those of its certificate, or this machine's own where it needs none; and those configured. */
export const namesOf =
  (certificate: X509Certificate | undefined, more: readonly string[]) =>
  (name: string): boolean => {
    if (more.includes(name)) return true;
    if (certificate === undefined) return isLoopback(name);
    return (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined;
  };
