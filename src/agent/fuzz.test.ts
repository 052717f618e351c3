/**
 * Requests nobody should send, made from the agent's own OpenAPI document: whatever arrives, the answer is a refusal with
 * a code godwit knows or what the document says, never a fault inside, and never a VM that changed.
 */
import { request } from "node:http";
import { connect } from "node:net";

import * as fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";

import { machine } from "../../test/fakes/fixtures.ts";
import { ServedAgent } from "../../test/fakes/served-agent.ts";
import { problem, type VmView } from "../api/host.ts";
import { openapi } from "../api/openapi.ts";
import { isErrorCode } from "../std/errors.ts";

const RUNS = 400;

let served: ServedAgent;
let tokens: readonly string[];
let before: VmView;
beforeAll(async () => {
  served = await ServedAgent.start({ fakeQemu: true });
  before = await served.client.run({ body: machine });
  tokens = [
    await served.token("reader", "read"),
    await served.token("receiver", "receive-here"),
    await served.token("sender", "read", "send-from-here"),
  ];
});
afterAll(() => served[Symbol.asyncDispose]());

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly query: readonly string[];
}

interface Documented {
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
}
const operations: readonly Operation[] = Object.entries(
  openapi()["paths"] as Record<string, Record<string, Documented>>,
).flatMap(([path, methods]) =>
  Object.entries(methods)
    // A stream does not end; what is asked of it is tested with the streams.
    .filter(() => path !== "/events")
    .map(([method, { parameters = [] }]) => ({
      method: method.toUpperCase(),
      path,
      query: parameters.filter((each) => each.in === "query").map(({ name }) => name),
    })),
);

const TRICKS = [
  "db-1", "..", "../..", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..", "%00", "%zz", "a%0d%0ab", "a b", "",
  "__proto__", "constructor", "%ff%fe", "x".repeat(2000), "'; DROP TABLE vm; --", "${7*7}", "-1", "0", "1e999", "NaN",
  "null", "true", "[]", "{}", "W10", "2026-01-01", "9999-99-99T99:99:99Z", "ä", "🦅",
] as const; // prettier-ignore

const word = fc.oneof(fc.constantFrom(...TRICKS), fc.string({ maxLength: 40 }), fc.webSegment());
const method = fc.constantFrom(
  "GET",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "PROPFIND",
  "SEARCH",
);
const body = fc.oneof(
  fc.constant(undefined),
  fc.json({ maxDepth: 4 }),
  fc.string(),
  fc.constant('{"__proto__":{"x":1}}'),
  fc.constant('{"constructor":{"prototype":{}}}'),
  fc.constant("[".repeat(50_000)),
  fc.constant(JSON.stringify({ target: "b", technique: "pre-copy", maxDowntimeMs: 1e308 })),
  fc.constant(JSON.stringify({ ...machine, spec: { memory: -1, extra: true } })),
  fc.constant(JSON.stringify("x".repeat(2 * 2 ** 20))),
);
const header = fc.constantFrom<Record<string, string>>(
  {},
  { "content-type": "application/json" },
  { "content-type": "text/plain" },
  { "content-type": "application/xml" },
  { "content-type": "application/json; charset=utf-7" },
  { "content-type": "x" },
  { "content-encoding": "gzip", "content-type": "application/json" },
  { accept: "application/xml" },
  { "idempotency-key": "k", "content-type": "application/json" },
  { "idempotency-key": " ", "content-type": "application/json" },
  { "if-match": "*", range: "bytes=0-1" },
  { origin: "http://evil.example" },
  { host: "evil.example" },
  { host: "a b" },
  { expect: "200-maybe" },
  { "x-http-method-override": "DELETE", "x-forwarded-for": "127.0.0.1", "x-original-url": "/cleanup" },
  { authorization: "Basic x" },
  { "last-event-id": "x" },
);

const tried = fc.record({
  operation: fc.constantFrom(...operations),
  method: fc.option(method, { freq: 4, nil: undefined }),
  segment: word,
  values: fc.array(word, { maxLength: 4 }),
  more: fc.array(fc.tuple(word, word), { maxLength: 2 }),
  headers: header,
  token: fc.constantFrom(0, 1, 2, undefined),
  body,
});
type Tried = typeof tried extends fc.Arbitrary<infer T> ? T : never;

interface Answered {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

/** Undefined when Node itself does not send such a request. */
function send(attempt: Tried): Promise<Answered | undefined> {
  const { operation, segment, values, more } = attempt;
  const path = operation.path.replaceAll(/\{\w+\}/g, () =>
    segment.toWellFormed().replaceAll(/[^\x21-\x7e]/gu, encodeURIComponent),
  );
  const query = [...operation.query.map((name, index) => [name, values[index] ?? ""] as const), ...more].map(
    ([name, value]) => `${safe(name)}=${safe(value)}`,
  );
  const token = attempt.token === undefined ? undefined : tokens[attempt.token];
  return new Promise((resolve, reject) => {
    try {
      const outgoing = request(
        {
          host: "127.0.0.1",
          port: served.address.port,
          path: query.length === 0 ? path : `${path}?${query.join("&")}`,
          method: attempt.method ?? operation.method,
          headers: {
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...(attempt.body === undefined ? {} : { "content-length": Buffer.byteLength(attempt.body) }),
            ...attempt.headers,
          },
          agent: false,
        },
        (incoming) => {
          let text = "";
          incoming.on("data", (chunk: Buffer) => (text += chunk.toString()));
          incoming.on("end", () =>
            resolve({ status: incoming.statusCode ?? 0, type: incoming.headers["content-type"] ?? "", text }),
          );
          incoming.on("error", reject);
        },
      );
      // A body refused by its size is not read to its end.
      outgoing.on("error", (error: NodeJS.ErrnoException) =>
        error.code === "EPIPE" || error.code === "ECONNRESET" ? resolve(undefined) : reject(error),
      );
      outgoing.end(attempt.body);
    } catch {
      resolve(undefined);
    }
  });
}

const safe = (text: string): string =>
  text.includes("%")
    ? text.toWellFormed().replaceAll(/[^\x21-\x7e]|[#&]/gu, encodeURIComponent)
    : encodeURIComponent(text.toWellFormed());

function refusalIn({ status, type, text }: Answered): string {
  expect(type).toContain("application/problem+json");
  const { code, next, detail, status: told } = problem.parse(JSON.parse(text));
  expect(isErrorCode(code)).toBe(true);
  expect(told).toBe(status);
  expect(next).not.toBe("");
  expect(detail).not.toMatch(/\bat .+\.(ts|js):\d/);
  return code;
}

test("whatever is asked, the answer is as documented or a refusal with a code; the VM stays as it was", async () => {
  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(tried, async (attempt) => {
      const answered = await send(attempt);
      if (answered === undefined) return;
      const asked = attempt.method ?? attempt.operation.method;
      if (answered.status >= 400) {
        // The answer to HEAD has no body.
        if (asked === "HEAD") return;
        const code = refusalIn(answered);
        expect(code).not.toBe("INTERNAL");
        codes.add(code);
      } else if (asked === attempt.operation.method && attempt.segment.length < 60) {
        expect([answered.status < 300, answered.type]).toEqual([true, expect.stringContaining("json")]);
      }
    }),
    { numRuns: RUNS },
  );
  const { migration: _, ...now } = await served.client.vm({ params: { name: "db-1" } });
  const { migration: __, ...then } = before;
  expect(now).toEqual(then);
  expect((await served.client.vms()).map(({ name }) => name)).toEqual(["db-1"]);
  expect((await served.client.tokens()).map(({ name }) => name)).toEqual(["reader", "receiver", "sender"]);
  // It was not all turned away at the door.
  for (const code of ["TOKEN_NEEDED", "RIGHT_MISSING", "REQUEST_INVALID", "NOT_FOUND"])
    expect(codes).toContain(code);
});

test("bytes that are no HTTP end the connection, and the next one is served", async () => {
  const talk = (bytes: Uint8Array): Promise<string> =>
    new Promise((resolve) => {
      let text = "";
      const socket = connect(served.address.port, "127.0.0.1", () => socket.end(bytes));
      socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
      socket.on("error", () => {});
      socket.on("close", () => resolve(text));
    });
  const lines = [
    "GET /vms HTTP/1.1\r\n\r\n",
    "GET /vms HTTP/1.0\r\nhost:\r\n\r\n",
    "GET /vms HTTP/9.9\r\n\r\n",
    "FROBNICATE /vms HTTP/1.1\r\nhost: localhost\r\n\r\n",
    "POST /vms HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /vms HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
    `GET /vms HTTP/1.1\r\nhost: localhost\r\nx: ${"y".repeat(100_000)}\r\n\r\n`,
    "GET http://evil.example/vms HTTP/1.1\r\nhost: localhost\r\n\r\n",
  ];
  for (const line of lines) {
    const answer = await talk(Buffer.from(line));
    const [head = "", text = ""] = answer.split("\r\n\r\n", 2);
    expect([line.slice(0, 40), head]).toEqual([
      line.slice(0, 40),
      expect.stringMatching(/^HTTP\/1\.1 4\d\d /),
    ]);
    refusalIn({
      status: Number(head.slice(9, 12)),
      type: /content-type: (.*)/i.exec(head)?.[1] ?? "",
      text,
    });
  }
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      const answer = await talk(bytes);
      expect(answer === "" || /^HTTP\/1\.1 4\d\d /.test(answer)).toBe(true);
    }),
    { numRuns: 100 },
  );
  expect((await served.client.whoami()).host).toBe("a");
});
