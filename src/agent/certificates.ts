/** This host's certificates as they lie on disk: until when they hold, and what is wrong with them. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { PkiFile, peerName } from "./pki.ts";

export interface CertificateFacts {
  readonly name: "ca" | "server" | "client";
  readonly file: string;
  /** Null when the file holds no certificate. */
  readonly validFromMs: number | null;
  readonly expiresAtMs: number | null;
  /** Empty when nothing is wrong but, perhaps, the time. */
  readonly problem: string;
}

export function readCertificates(tlsDir: string, host: string): CertificateFacts[] {
  const read = (file: string): Buffer => readFileSync(join(tlsDir, file));
  const facts = (
    name: CertificateFacts["name"],
    file: string,
    problemOf: (cert: X509Certificate) => string,
  ): CertificateFacts => {
    const at = join(tlsDir, file);
    let cert: X509Certificate;
    try {
      cert = new X509Certificate(read(file));
    } catch (error) {
      return { name, file: at, validFromMs: null, expiresAtMs: null, problem: (error as Error).message };
    }
    const times = {
      validFromMs: Date.parse(cert.validFrom),
      expiresAtMs: Date.parse(cert.validTo),
    };
    try {
      return { name, file: at, ...times, problem: problemOf(cert) };
    } catch (error) {
      return { name, file: at, ...times, problem: (error as Error).message };
    }
  };
  const ours =
    (keyFile: string) =>
    (cert: X509Certificate): string => {
      const ca = new X509Certificate(read(PkiFile.caCert));
      if (!cert.checkIssued(ca) || !cert.verify(ca.publicKey)) return `${PkiFile.caCert} did not issue it`;
      if (peerName(cert) !== host) return `it is not this host's: ${cert.subject.replaceAll("\n", ", ")}`;
      return cert.checkPrivateKey(createPrivateKey(read(keyFile))) ? "" : `${keyFile} is another one's key`;
    };
  return [
    facts("ca", PkiFile.caCert, (cert) => (cert.ca ? "" : "it is not a CA's")),
    facts("server", PkiFile.serverCert, ours(PkiFile.serverKey)),
    facts("client", PkiFile.clientCert, ours(PkiFile.clientKey)),
  ];
}
