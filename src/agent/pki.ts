/**
 * Certificates of a set of hosts: one CA, and for each host a pair for serving and one for connecting, in the layout
 * of QEMU's tls-creds-x509. The agent's own TLS uses the same files. Who may do what once the name is known is not
 * decided here.
 */
// oxlint-disable-next-line import/no-unassigned-import -- it must be loaded before @peculiar/x509
import "./reflect.ts";
import { type X509Certificate, webcrypto } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";

import * as x509 from "@peculiar/x509";

import { CodedError } from "../std/errors.ts";

const DAY_MS = 24 * 3600e3;
const CA_DAYS = 3650;
const HOST_DAYS = 825;
/** Hosts' clocks differ; a certificate made just now is valid on all of them. */
const BACKDATED_MS = 3600e3;

/** ECDSA on P-256: accepted for TLS 1.3 by Node and by the GnuTLS that QEMU uses. */
const KEYS = { name: "ECDSA", namedCurve: "P-256" } as const;
const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;

/** A host's name stands in its certificate's CN and as a DNS name, so it is restricted to what both can hold. */
export const HOST_NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/;

export const PkiFile = {
  caCert: "ca-cert.pem",
  caKey: "ca-key.pem",
  serverCert: "server-cert.pem",
  serverKey: "server-key.pem",
  clientCert: "client-cert.pem",
  clientKey: "client-key.pem",
  dhParams: "dh-params.pem",
} as const;

/**
 * The group ffdhe2048 of RFC 7919. Nobody uses it, since only TLS 1.3 is spoken; but a QEMU that finds none computes a group
 * of its own each time it begins to listen (0.1 to 0.6 s on an idle core, QEMU 7.2.22; crypto/tlscreds.c), and a migration
 * waits for that.
 */
const FFDHE2048 = `-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
`;

const refuse = (problem: string, next: string): CodedError => new CodedError("USAGE", { problem, next });

/** Makes a CA in `dir`. @throws CodedError USAGE when there is one: replacing it would lock every host out. */
export async function initCa(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const keys = await generateKeys();
  const { publicKey, privateKey } = keys;
  const cert = await x509.X509CertificateGenerator.createSelfSigned(
    {
      keys,
      name: "CN=godwit CA",
      ...validity(CA_DAYS),
      signingAlgorithm: SIGNING,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  const key = await keyPem(privateKey);
  try {
    // Exclusive, and the key first: two at once cannot leave a key beside the other one's certificate.
    await writeFile(join(dir, PkiFile.caKey), key, { mode: 0o600, flag: "wx" });
    await writeFile(join(dir, PkiFile.caCert), pem(cert), { mode: 0o644, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    throw refuse(`${dir} holds a CA already.`, "Use it for further hosts, or name another folder.");
  }
}

export interface HostCertificates {
  readonly caDir: string;
  readonly name: string;
  /** IP addresses and DNS names under which other hosts reach it. */
  readonly addresses: readonly string[];
  readonly outDir: string;
}

/** Writes a host's certificates and keys; again for a renewal. @throws CodedError USAGE without a CA. */
export async function issueHost({ caDir, name, addresses, outDir }: HostCertificates): Promise<void> {
  if (!HOST_NAME.test(name)) {
    throw refuse(
      `"${name}" cannot be a host's name.`,
      "Use 1 to 63 of a-z 0-9 . - and start with a-z or 0-9.",
    );
  }
  const ca = await readCa(caDir);
  await mkdir(outDir, { recursive: true, mode: 0o700 });
  const server = await issue(ca, name, addresses, x509.ExtendedKeyUsage.serverAuth);
  const client = await issue(ca, name, addresses, x509.ExtendedKeyUsage.clientAuth);
  await replace(join(outDir, PkiFile.serverKey), server.key, 0o600);
  await replace(join(outDir, PkiFile.serverCert), server.cert, 0o644);
  await replace(join(outDir, PkiFile.clientKey), client.key, 0o600);
  await replace(join(outDir, PkiFile.clientCert), client.cert, 0o644);
  await replace(join(outDir, PkiFile.caCert), pem(ca.cert), 0o644);
  await replace(join(outDir, PkiFile.dhParams), FFDHE2048, 0o644);
}

/** The host a verified certificate speaks for, or undefined when it is not one of ours. Does not verify it. */
export function peerName(cert: X509Certificate): string | undefined {
  const names = cert.subject.split("\n");
  const name = names.length === 1 ? /^CN=(.*)$/.exec(names[0] ?? "")?.[1] : undefined;
  if (name === undefined || !HOST_NAME.test(name)) return undefined;
  return cert.checkHost(name, { subject: "never" }) === undefined ? undefined : name;
}

interface Ca {
  readonly cert: x509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
}

async function readCa(dir: string): Promise<Ca> {
  try {
    const cert = new x509.X509Certificate(await readFile(join(dir, PkiFile.caCert), "utf8"));
    const [der] = x509.PemConverter.decode(await readFile(join(dir, PkiFile.caKey), "utf8"));
    if (der === undefined) throw new Error(`${PkiFile.caKey} is empty`);
    const key = await webcrypto.subtle.importKey("pkcs8", der, KEYS, false, ["sign"]);
    return { cert, key };
  } catch (error) {
    const problem = `There is no usable CA in ${dir}: ${(error as Error).message}`;
    throw new CodedError("USAGE", { problem, next: "Make one first: godwit host init" }, { cause: error });
  }
}

async function issue(
  ca: Ca,
  name: string,
  addresses: readonly string[],
  use: x509.ExtendedKeyUsage,
): Promise<{ readonly cert: string; readonly key: string }> {
  const keys = await generateKeys();
  const cert = await x509.X509CertificateGenerator.create(
    {
      subject: `CN=${name}`,
      issuer: ca.cert.subject,
      ...validity(HOST_DAYS),
      publicKey: keys.publicKey,
      signingKey: ca.key,
      signingAlgorithm: SIGNING,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        // Not critical: QEMU 7.2 refuses a critical one without keyEncipherment, which RFC 8813 forbids for EC keys.
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, false),
        new x509.ExtendedKeyUsageExtension([use], false),
        new x509.SubjectAlternativeNameExtension(alternativeNames(name, addresses), false),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        await x509.AuthorityKeyIdentifierExtension.create(ca.cert, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { cert: pem(cert), key: await keyPem(keys.privateKey) };
}

function alternativeNames(name: string, addresses: readonly string[]): x509.JsonGeneralNames {
  const all = [...new Set([name, ...addresses])];
  return all.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value }));
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEYS, true, ["sign", "verify"]);
}

const pem = (cert: x509.X509Certificate): string => `${cert.toString("pem")}\n`;

async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey("pkcs8", key);
  return `${x509.PemConverter.encode(der, "PRIVATE KEY")}\n`;
}

function validity(days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - BACKDATED_MS), notAfter: new Date(now + days * DAY_MS) };
}

/** A reader sees the old file or the new one, never half of it. */
async function replace(path: string, text: string, mode: number): Promise<void> {
  const next = `${path}.next`;
  await writeFile(next, text, { mode });
  await rename(next, path);
}
