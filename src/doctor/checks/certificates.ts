/** The host's certificates: there, this host's own, of one CA, and valid for a while yet. */
import { X509Certificate } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { PkiFile } from "../../agent/pki.ts";
import { blocker, fine, warning, type Check, type Verdict } from "../types.ts";

export interface CertificateFacts {
  readonly file: string;
  readonly name: string;
  readonly validFromMs: number;
  readonly validToMs: number;
  /** Signed by the CA beside it. */
  readonly trusted: boolean;
}

export interface CertificatesFacts {
  /** Undefined without a configuration: then there is nothing to look at. */
  readonly host: { readonly name: string; readonly address: string; readonly folder: string } | undefined;
  readonly missing: readonly string[];
  readonly certificates: readonly CertificateFacts[];
  /** Keys others than their owner can read. */
  readonly openKeys: readonly string[];
  /** Else QEMU makes Diffie-Hellman parameters itself, for each migration it waits for. */
  readonly hasDhParams: boolean;
  readonly nowMs: number;
}

const DAY_MS = 24 * 3600e3;
const EXPIRES_SOON_DAYS = 30;
const NEEDED = [PkiFile.caCert, PkiFile.serverCert, PkiFile.serverKey, PkiFile.clientCert, PkiFile.clientKey];
const KEYS = [PkiFile.serverKey, PkiFile.clientKey];
const CERTIFICATES = [PkiFile.caCert, PkiFile.serverCert, PkiFile.clientCert];

function* judge(facts: CertificatesFacts): Generator<Verdict> {
  const { host, missing, certificates: held, openKeys, hasDhParams, nowMs } = facts;
  if (host === undefined) {
    yield warning(
      "Without a configuration nobody knows where they are.",
      "See the finding on the configuration.",
    );
    return;
  }
  const { name, folder } = host;
  const renew = `godwit host init --name ${name} --address ${host.address} --out ${folder}`;
  if (missing.length > 0) yield blocker(`${folder} has no ${missing.join(", ")}.`, renew);
  for (const one of held) {
    const days = Math.floor((one.validToMs - nowMs) / DAY_MS);
    const own = one.file !== PkiFile.caCert;
    if (nowMs < one.validFromMs) {
      yield blocker(`${one.file} is not valid yet: this clock is behind.`, "timedatectl set-ntp true");
    } else if (days < 0) yield blocker(`${one.file} has expired.`, renew);
    else if (days < EXPIRES_SOON_DAYS) yield warning(`${one.file} expires in ${days} days.`, renew);
    if (own && one.name !== name) yield blocker(`${one.file} is ${one.name}'s, not ${name}'s.`, renew);
    if (own && !one.trusted) yield blocker(`${one.file} is not signed by the CA beside it.`, renew);
  }
  for (const key of openKeys) {
    yield warning(`Others can read ${key}.`, `chmod 600 ${join(folder, key)}`);
  }
  if (!hasDhParams && missing.length === 0) {
    yield warning(
      `Without ${PkiFile.dhParams} each direct migration to here begins up to a second later.`,
      renew,
    );
  }
}

export const certificates: Check<CertificatesFacts> = {
  name: "certificates",
  gather: ({ config }) => {
    const nothing = { missing: [], certificates: [], openKeys: [], hasDhParams: false, nowMs: Date.now() };
    if (config === undefined) return { ...nothing, host: undefined };
    const { name, tlsDir: folder } = config;
    const host = { name, address: config.listen.address, folder };
    const missing = NEEDED.filter((file) => !existsSync(join(folder, file)));
    if (missing.length > 0) return { ...nothing, host, missing };
    const read = (file: string): X509Certificate => new X509Certificate(readFileSync(join(folder, file)));
    const ca = read(PkiFile.caCert);
    return {
      ...nothing,
      host,
      certificates: CERTIFICATES.map((file) => factsOf(file, read(file), ca)),
      hasDhParams: existsSync(join(folder, PkiFile.dhParams)),
      openKeys: KEYS.filter((file) => (statSync(join(folder, file)).mode & 0o077) !== 0),
    };
  },
  judge: (facts) => {
    const found = [...judge(facts)];
    if (found.length > 0) return found;
    const ends = Math.min(...facts.certificates.map((one) => one.validToMs));
    return [fine(`Valid until ${new Date(ends).toISOString().slice(0, 10)}.`)];
  },
};

const factsOf = (file: string, certificate: X509Certificate, ca: X509Certificate): CertificateFacts => ({
  file,
  name: /^CN=(.+)$/m.exec(certificate.subject)?.[1] ?? "",
  validFromMs: Date.parse(certificate.validFrom),
  validToMs: Date.parse(certificate.validTo),
  trusted: certificate.checkIssued(ca) && certificate.verify(ca.publicKey),
});
