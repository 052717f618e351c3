/** The dashboard's files beside the API: pages for browsers, answers for programs, nothing outside the folder. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

import type { FastifyInstance } from "fastify";
import { pino } from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";

import { makeServer } from "./http.ts";
import { serveDashboard } from "./web.ts";

let folder: string;
let server: FastifyInstance;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "godwit-web-"));
  mkdirSync(join(folder, "web/assets"), { recursive: true });
  writeFileSync(join(folder, "secret.txt"), "secret");
  writeFileSync(join(folder, "web/index.html"), "<!doctype html>page");
  writeFileSync(join(folder, "web/assets/app.js"), "script");
  writeFileSync(join(folder, "web/assets/app.js.gz"), gzipSync("script"));
  writeFileSync(join(folder, "web/.hidden"), "secret");
  server = makeServer({ log: pino({ level: "silent" }), identify: () => undefined, audit: () => {} });
  serveDashboard(server, join(folder, "web"));
  server.get("/vms", { config: { access: "read" } }, () => []);
  server.get("/forgotten", () => "no right is named");
  await server.listen({ host: "127.0.0.1", port: 0 });
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** As it is written, without a client that tidies paths. */
const get = (
  path: string,
  accept = "*/*",
  encoding = "identity",
): Promise<{ status: number; text: string; bytes: Buffer; headers: Record<string, unknown> }> =>
  new Promise((resolve, reject) => {
    const { port } = server.server.address() as AddressInfo;
    const headers = { accept, "accept-encoding": encoding };
    request({ host: "127.0.0.1", port, path, headers }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("end", () => {
        const bytes = Buffer.concat(chunks);
        resolve({
          status: incoming.statusCode ?? 0,
          text: bytes.toString(),
          bytes,
          headers: incoming.headers,
        });
      });
    })
      .on("error", reject)
      .end();
  });

const HTML = "text/html,application/xhtml+xml,*/*;q=0.8";

test.each(["/", "/vms", "/migrations/m-1", "/anything/else"])(
  "a browser that opens %s gets the page",
  async (path) => {
    const answer = await get(path, HTML);
    expect([answer.status, answer.text]).toEqual([200, "<!doctype html>page"]);
    expect(answer.headers["content-security-policy"]).toMatch(/default-src 'none'; script-src 'self';/);
    expect(String(answer.headers["content-security-policy"])).not.toMatch(/unsafe|https?:|\*/);
  },
);

test("files are served as what they are, without a token", async () => {
  const answer = await get("/assets/app.js");
  expect([answer.status, answer.text]).toEqual([200, "script"]);
  expect(answer.headers["content-type"]).toMatch(/javascript/);
  expect(answer.headers["x-content-type-options"]).toBe("nosniff");
});

test("a browser is sent the compressed form, and keeps what its name says is forever", async () => {
  const answer = await get("/assets/app.js", "*/*", "gzip, br");
  expect(answer.headers).toMatchObject({
    "content-encoding": "gzip",
    vary: expect.stringMatching(/accept-encoding/i),
    "content-type": expect.stringMatching(/javascript/),
    "cache-control": expect.stringContaining("immutable"),
  });
  expect(gunzipSync(answer.bytes).toString()).toBe("script");
  expect((await get("/", HTML)).headers["cache-control"]).toBe("no-cache");
  expect((await get("/assets/gone.js")).headers["cache-control"]).toBe("no-store");
});

test("a program that asks for the API gets the API", async () => {
  const answer = await get("/vms");
  expect([answer.status, (JSON.parse(answer.text) as { code: string }).code]).toEqual([401, "TOKEN_NEEDED"]);
});

test("a route whose right nobody named is nobody's", async () => {
  expect((await get("/forgotten")).status).toBe(401);
});

test.each([
  "/../secret.txt",
  "/assets/../../secret.txt",
  "/..%2fsecret.txt",
  "/%2e%2e/secret.txt",
  "/assets/..%5c..%5csecret.txt",
  "//secret.txt",
  "/.hidden",
  "/assets/%00",
  "/assets",
  "/missing.js",
])("%s is nothing", async (path) => {
  const answer = await get(path);
  expect(answer.status).toBeGreaterThanOrEqual(400);
  expect(answer.status).toBeLessThan(500);
  expect(answer.text).not.toContain("secret\n");
  expect(answer.text).not.toMatch(/^secret$/);
  expect(answer.headers["content-type"]).toContain("application/problem+json");
});
