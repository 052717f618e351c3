/**
 * Talking to another host's agent: TLS 1.3, both sides authenticated, answers checked against the route's schema.
 * Tells apart a question that provably never arrived from one that may have: the hand-over depends on it.
 */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";

import type { z } from "zod";

import { problem } from "../api/host.ts";
import { pathOf } from "../api/path-of.ts";
import type { Route } from "../api/routes.ts";
import { CodedError } from "../std/errors.ts";
import { COUNTED } from "./http.ts";

export interface PeerAddress {
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

export interface PeerCall {
  readonly params?: Readonly<Record<string, string>>;
  /** Sent as JSON; a Buffer as the bytes it is. */
  readonly body?: unknown;
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** W3C trace context of the migration the question belongs to. */
  readonly traceparent?: string | undefined;
}

const ANSWER_BYTES_MAX = 4 * 2 ** 20;
const TIMEOUT_MS = 10_000;
/** Codes that mean no byte of the question was accepted by anybody. */
const NEVER_CONNECTED = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENETDOWN",
  "EHOSTDOWN",
  "EADDRNOTAVAIL",
]);

/** True when the peer cannot have seen the question. */
export const undelivered = (error: unknown): boolean =>
  error instanceof CodedError && error.details["delivered"] === "no";

/** The code of the peer's own refusal, if it gave one. */
export function peerCode(error: CodedError): string | undefined {
  const code = error.details["peerCode"];
  return typeof code === "string" ? code : undefined;
}

function bodyOf(body: unknown): string | Buffer | undefined {
  if (body === undefined || Buffer.isBuffer(body)) return body;
  return JSON.stringify(body);
}

export class Peer {
  readonly name: string;
  readonly #address: PeerAddress;
  readonly #agent: Agent;

  constructor(address: PeerAddress, tlsDir: string) {
    this.name = address.name;
    this.#address = address;
    this.#agent = new Agent({
      keepAlive: true,
      maxSockets: 8,
      minVersion: "TLSv1.3",
      ca: readFileSync(join(tlsDir, "ca-cert.pem")),
      cert: readFileSync(join(tlsDir, "client-cert.pem")),
      key: readFileSync(join(tlsDir, "client-key.pem")),
      // The certificate must be the named host's own, whatever address it was reached by.
      checkServerIdentity: (_host, certificate) =>
        certificate.subject.CN === address.name
          ? undefined
          : new Error(`the certificate is ${String(certificate.subject.CN)}'s, not ${address.name}'s`),
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  async call<R extends Route>(route: R, call: PeerCall = {}): Promise<z.infer<R["answer"]>> {
    const path = pathOf(route, { params: call.params ?? {} });
    const { status, text } = await this.#send(route.method, path, call).catch((error: unknown) => {
      // A kept connection of a peer that has restarted since; a plain question may be asked twice.
      if (route.method === "GET" && error instanceof CodedError && error.details["stale"] === true)
        return this.#send(route.method, path, call);
      throw error;
    });
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch (cause) {
      throw new CodedError("PEER_GARBAGE", { host: this.name, problem: "it is not JSON" }, { cause });
    }
    if (status >= 400) {
      const refusal = problem.safeParse(answer);
      if (!refusal.success)
        throw new CodedError("PEER_GARBAGE", {
          host: this.name,
          problem: `status ${status} without a problem document`,
        });
      throw new CodedError("PEER_REFUSED", {
        host: this.name,
        why: refusal.data.detail,
        next: refusal.data.next,
        peerCode: refusal.data.code,
      });
    }
    const parsed = route.answer.safeParse(answer);
    if (!parsed.success) {
      throw new CodedError("PEER_GARBAGE", {
        host: this.name,
        problem: parsed.error.issues[0]?.message ?? "wrong shape",
      });
    }
    return parsed.data as z.infer<R["answer"]>;
  }

  #send(method: string, path: string, call: PeerCall): Promise<{ status: number; text: string }> {
    const timeoutMs = call.timeoutMs ?? TIMEOUT_MS;
    const isBytes = Buffer.isBuffer(call.body);
    const body = bodyOf(call.body);
    return new Promise((resolve, reject) => {
      let connected = false;
      const sent = request({
        agent: this.#agent,
        host: this.#address.address,
        port: this.#address.port,
        method,
        path,
        headers: {
          ...(body === undefined
            ? {}
            : {
                "content-type": isBytes ? COUNTED : "application/json",
                "content-length": Buffer.byteLength(body),
              }),
          ...(call.traceparent === undefined ? {} : { traceparent: call.traceparent }),
        },
      });
      const done = (): void => {
        clearTimeout(unreached);
        clearTimeout(timer);
        call.signal?.removeEventListener("abort", aborted);
      };
      const fail = (error: CodedError): void => {
        done();
        reject(error);
        sent.destroy();
      };
      const delivered = (): "no" | "maybe" => (connected ? "maybe" : "no");
      const stalled = (ms: number): void => {
        const waited = `${ms / 1000} s`;
        fail(new CodedError("PEER_STALLED", { host: this.name, waited, delivered: delivered() }));
      };
      let unreached: NodeJS.Timeout | undefined;
      const timer = setTimeout(() => stalled(timeoutMs), timeoutMs);
      const aborted = (): void =>
        fail(
          new CodedError("PEER_UNREACHABLE", {
            host: this.name,
            why: "no longer wanted",
            delivered: delivered(),
          }),
        );
      call.signal?.addEventListener("abort", aborted, { once: true });
      sent.on("socket", (socket) => {
        // A socket from the pool is connected already; a new one counts from the end of the TLS handshake.
        if (!socket.connecting) return void (connected = true);
        // However long an answer may take: whoever is there is reached sooner.
        unreached = setTimeout(() => stalled(TIMEOUT_MS), TIMEOUT_MS);
        socket.once("secureConnect", () => {
          connected = true;
          clearTimeout(unreached);
        });
      });
      sent.on("error", (error: NodeJS.ErrnoException) => {
        const never = !connected || NEVER_CONNECTED.has(error.code ?? "");
        const details = {
          host: this.name,
          why: error.message,
          delivered: never ? "no" : "maybe",
          ...(sent.reusedSocket ? { stale: true } : {}),
        };
        const untrusted = /certificate|CERT|alert|self.signed/i.test(error.message);
        fail(new CodedError(untrusted ? "PEER_UNTRUSTED" : "PEER_UNREACHABLE", details, { cause: error }));
      });
      sent.on("response", (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on("data", (chunk: Buffer) => {
          bytes += chunk.byteLength;
          if (bytes > ANSWER_BYTES_MAX)
            fail(
              new CodedError("PEER_GARBAGE", {
                host: this.name,
                problem: `its answer is longer than ${ANSWER_BYTES_MAX} bytes`,
              }),
            );
          else chunks.push(chunk);
        });
        response.on("error", (error: Error) =>
          fail(
            new CodedError(
              "PEER_UNREACHABLE",
              { host: this.name, why: error.message, delivered: "maybe" },
              { cause: error },
            ),
          ),
        );
        response.on("end", () => {
          done();
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") });
        });
      });
      sent.end(body);
    });
  }
}
