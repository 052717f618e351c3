/** Who may do what at the real listeners: every route refuses by default, and says with which code. */
import { Agent as HttpsAgent, request as requestTls } from "node:https";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, expect, test } from "vitest";

import { ServedAgent } from "../../test/fakes/served-agent.ts";
import { allows, RIGHTS, type Right } from "../api/access.ts";
import { connectAgent } from "../api/client.ts";
import { localRoutes, type Route } from "../api/routes.ts";
import { CodedError } from "../std/errors.ts";

let served: ServedAgent;
beforeAll(async () => {
  served = await ServedAgent.start();
});
afterAll(() => served[Symbol.asyncDispose]());

interface Problem {
  readonly code: string;
  readonly status: number;
}
const ask = async (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(new URL(path, served.url), init);
const bearer = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } });
const codeOf = async (response: Response): Promise<string> => ((await response.json()) as Problem).code;
const refusedWith = async (promise: Promise<unknown>): Promise<string> => {
  const error: unknown = await promise.then(
    () => "nothing",
    (reason: unknown) => reason,
  );
  return error instanceof CodedError ? error.code : String(error);
};

const routes = Object.entries(localRoutes) as [string, Route][];
const pathOf = (route: Route): string => route.path.replace(":name", "nobody").replace(":id", "nothing");

test.each(routes)("%s asks for a token", async (_name, route) => {
  const response = await ask(pathOf(route), { method: route.method });
  expect(response.status).toBe(401);
  expect(response.headers.get("www-authenticate")).toContain("Bearer");
  expect(response.headers.get("content-type")).toContain("application/problem+json");
  expect(await codeOf(response)).toBe("TOKEN_NEEDED");
});

test("a token reaches exactly the routes of its rights", async () => {
  for (const right of RIGHTS) {
    const token = await served.token(`only-${right}`, right);
    for (const [name, route] of routes) {
      const response = await ask(pathOf(route), { method: route.method, ...bearer(token) });
      const forbidden = response.status === 403 && (await codeOf(response)) === "RIGHT_MISSING";
      expect([name, right, forbidden]).toEqual([name, right, !allows([right], route.right)]);
    }
  }
});

test("rights are what the table of routes says", () => {
  const table = (right: Right | "identity") =>
    routes.filter(([, route]) => route.right === right).map(([name]) => name);
  expect(table("administer").toSorted()).toEqual(
    [
      "audit",
      "auditVerification",
      "cleanup",
      "createToken",
      "pause",
      "revokeToken",
      "run",
      "stop",
      "tokens",
    ].toSorted(),
  );
  expect(routes.filter(([, { right }]) => right === "public")).toEqual([]);
  expect(
    routes.filter(([, { right, method }]) => (right === "read" || right === "identity") && method !== "GET"),
  ).toEqual([]);
});

test("a token says who it is; revoked, it is nobody", async () => {
  const token = await served.token("alice", "read");
  const alice = connectAgent({ url: served.url, token });
  expect(await alice.whoami()).toEqual({
    kind: "token",
    name: "alice",
    rights: ["read"],
    expiresAt: null,
    host: "a",
  });
  expect((await served.client.tokens()).map(({ name }) => name)).toContain("alice");
  await served.client.revokeToken({ params: { name: "alice" } });
  expect(await refusedWith(alice.whoami())).toBe("TOKEN_INVALID");
  expect(await refusedWith(served.client.revokeToken({ params: { name: "alice" } }))).toBe("TOKEN_UNKNOWN");
});

test("a name is one token's at a time", async () => {
  await served.token("bob", "read");
  expect(await refusedWith(served.token("bob", "administer"))).toBe("TOKEN_EXISTS");
});

test("the store holds no token, only its hash", async () => {
  const token = await served.token("carol", "read");
  served.store.database.sql.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  const file = readFileSync(join(served.folder, "agent.db"));
  expect(file.includes("carol")).toBe(true);
  expect(file.includes(token)).toBe(false);
  expect(file.includes(token.slice(4, 30))).toBe(false);
});

test.each(["Basic Zm9vOmJhcg==", "Bearer", "Bearer ", "Bearer a b", `Bearer ${"x".repeat(5000)}`, "gwt_x"])(
  "%s is no token",
  async (authorization) => {
    const response = await ask("/vms", { headers: { authorization } });
    expect([response.status, await codeOf(response)]).toEqual([401, "TOKEN_INVALID"]);
  },
);

test("the socket may do everything", async () => {
  expect(await served.client.whoami()).toEqual({
    kind: "socket",
    name: "",
    rights: ["administer"],
    expiresAt: null,
    host: "a",
  });
});

test.each([
  ["evil.example", undefined],
  ["127.0.0.1.evil.example", undefined],
  ["localhost@evil.example", undefined],
  ["localhost:99999999", undefined],
  ["localhost", "http://evil.example"],
  ["localhost", "null"],
  ["localhost", "file://localhost"],
  ["localhost:1", "http://localhost:2"],
])("Host %s with Origin %s is refused, also where no token is needed", async (host, origin) => {
  const { default: http } = await import("node:http");
  const answer = await new Promise<{ status: number; text: string }>((resolve, reject) => {
    const { port } = served.address;
    const headers = { host, ...(origin === undefined ? {} : { origin }) };
    const outgoing = http.request({ host: "127.0.0.1", port, path: "/openapi.json", headers }, (incoming) => {
      let text = "";
      incoming.on("data", (chunk: Buffer) => (text += chunk.toString()));
      incoming.on("end", () => resolve({ status: incoming.statusCode ?? 0, text }));
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
  expect(answer.status).toBe(403);
  expect((JSON.parse(answer.text) as Problem).code).toBe("ORIGIN_REFUSED");
});

test("the agent's own page may ask", async () => {
  const token = await served.token("page", "read");
  const response = await ask("/vms", { headers: { authorization: `Bearer ${token}`, origin: served.url } });
  expect(response.status).toBe(200);
});

test("beyond loopback it speaks TLS with the host's certificate, for the names in it", async () => {
  await using open = await ServedAgent.start({ address: "0.0.0.0" });
  const token = await open.token("far", "read");
  const ca = readFileSync(join(open.folder, "pki/ca-cert.pem"), "utf8");
  const { port } = open.address;
  const far = connectAgent({ url: `https://127.0.0.1:${port}`, token, ca });
  expect((await far.whoami()).name).toBe("far");
  await expect(fetch(`http://127.0.0.1:${port}/openapi.json`)).rejects.toThrow();
  const status = await new Promise((resolve, reject) => {
    const headers = { host: "elsewhere", authorization: `Bearer ${token}` };
    requestTls(
      { host: "127.0.0.1", port, path: "/vms", headers, agent: new HttpsAgent({ ca, servername: "a" }) },
      (incoming) => {
        incoming.resume();
        resolve(incoming.statusCode);
      },
    )
      .on("error", reject)
      .end();
  });
  expect(status).toBe(403);
});

test("a token is not sent in clear text to another machine", () => {
  expect(() => connectAgent({ url: "http://192.0.2.1:7466", token: "gwt_x" })).toThrow("loopback");
});
