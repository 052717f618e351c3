import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer, type TLSSocket } from "node:tls";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { initCa, issueHost, peerName, PkiFile } from "./pki.ts";

let dir: string;
const at = (...parts: string[]): string => join(dir, ...parts);
const read = (...parts: string[]): string => readFileSync(at(...parts), "utf8");
const cert = (...parts: string[]): X509Certificate => new X509Certificate(read(...parts));

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "pki-"));
  await initCa(at("ca"));
  await issueHost({ caDir: at("ca"), name: "a", addresses: ["127.0.0.1"], outDir: at("a") });
  await issueHost({
    caDir: at("ca"),
    name: "b",
    addresses: ["10.0.0.2", "b.example", "fd00::2"],
    outDir: at("b"),
  });
  await initCa(at("other-ca"));
  await issueHost({ caDir: at("other-ca"), name: "b", addresses: [], outDir: at("stranger") });
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Host `server` serves, host `client` connects to it by the name it expects; both sides verify. */
async function handshake(server: string, client: string, servername: string): Promise<string | undefined> {
  const both = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" } as const;
  const listener = createServer({
    ...both,
    ca: read(server, PkiFile.caCert),
    cert: read(server, PkiFile.serverCert),
    key: read(server, PkiFile.serverKey),
    requestCert: true,
    rejectUnauthorized: true,
  });
  const accepted = Promise.withResolvers<string | undefined>();
  listener.on("secureConnection", (socket: TLSSocket) => {
    const peer = socket.getPeerX509Certificate();
    accepted.resolve(peer === undefined ? undefined : peerName(peer));
    socket.end();
  });
  listener.on("tlsClientError", (error) => accepted.reject(error));
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const socket = connect({
    ...both,
    port: (listener.address() as AddressInfo).port,
    host: "127.0.0.1",
    servername,
    ca: read(client, PkiFile.caCert),
    cert: read(client, PkiFile.clientCert),
    key: read(client, PkiFile.clientKey),
  });
  socket.on("error", (error) => accepted.reject(error));
  socket.resume();
  try {
    return await accepted.promise;
  } finally {
    socket.destroy();
    listener.close();
  }
}

describe("certificates", () => {
  it("let two hosts of one CA meet over TLS 1.3, each knowing the other's name", async () => {
    expect(await handshake("a", "b", "a")).toBe("b");
    expect(await handshake("b", "a", "b.example")).toBe("a");
  });

  it("of another CA are refused, in both directions", async () => {
    await expect(handshake("a", "stranger", "a")).rejects.toThrow();
    await expect(handshake("stranger", "a", "b")).rejects.toThrow();
  });

  it("are refused under a name they were not issued for", async () => {
    await expect(handshake("a", "b", "c")).rejects.toThrow(/altnames/i);
  });

  it("of a client cannot serve, nor a server's connect", () => {
    expect(cert("a", PkiFile.serverCert).keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
    expect(cert("a", PkiFile.clientCert).keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  });

  it("name the host and each of its addresses", () => {
    const names = cert("b", PkiFile.serverCert).subjectAltName ?? "";
    for (const name of ["DNS:b", "DNS:b.example", "IP Address:10.0.0.2", "IP Address:FD00:0:0:0:0:0:0:2"]) {
      expect(names).toContain(name);
    }
    expect(peerName(cert("b", PkiFile.clientCert))).toBe("b");
    expect(peerName(cert("ca", PkiFile.caCert))).toBeUndefined();
  });

  it("have keys that only their owner can read", () => {
    const keys = [at("ca", PkiFile.caKey), at("a", PkiFile.serverKey), at("a", PkiFile.clientKey)];
    expect(keys.map((path) => statSync(path).mode & 0o777)).toEqual([0o600, 0o600, 0o600]);
  });

  it("come with Diffie-Hellman parameters of 2048 bits, so that QEMU makes none itself", () => {
    const [, body = ""] = /BEGIN DH PARAMETERS-----([^-]*)-/.exec(read("a", PkiFile.dhParams)) ?? [];
    const der = Buffer.from(body, "base64");
    // SEQUENCE { INTEGER prime, INTEGER 2 }: the prime is as RFC 7919 says, its highest and lowest 64 bits set.
    expect([der.readUInt16BE(0), der.length]).toEqual([0x3082, 0x0108 + 4]);
    expect(der.subarray(9, 17).toString("hex") + der.subarray(257, 265).toString("hex")).toBe("f".repeat(32));
    expect(der.subarray(265).toString("hex")).toBe("020102");
  });

  it("can be renewed, but a CA is never overwritten", async () => {
    const before = read("ca", PkiFile.caKey);
    await expect(initCa(at("ca"))).rejects.toMatchObject({ code: "USAGE" });
    expect(read("ca", PkiFile.caKey)).toBe(before);
    await issueHost({ caDir: at("ca"), name: "a", addresses: ["127.0.0.1"], outDir: at("a") });
    expect(await handshake("a", "b", "a")).toBe("b");
  });

  it("are not issued without a CA, nor for a name that could be read as something else", async () => {
    const host = { addresses: [], outDir: at("x") };
    await expect(issueHost({ ...host, caDir: at("none"), name: "x" })).rejects.toMatchObject({
      code: "USAGE",
    });
    await expect(issueHost({ ...host, caDir: at("ca"), name: "x,O=y" })).rejects.toMatchObject({
      code: "USAGE",
    });
  });
});
