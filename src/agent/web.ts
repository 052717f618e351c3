/**
 * The dashboard's files, when they are there: dist/web beside the sources. They are public (a page cannot send a token
 * before it is loaded) and hold no data. A browser that opens any address of the agent gets the dashboard, which reads
 * the address itself; programs, which do not ask for HTML, get the API.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import fastifyStatic from "@fastify/static";
import type { FastifyInstance, FastifyRequest } from "fastify";

export const WEB_FOLDER = join(import.meta.dirname, "../../dist/web");

/** Nothing from elsewhere, nothing inline; styles set by scripts need no exception. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** A file of the build has a hash of its contents in its name: what was fetched once holds for good. */
const HELD = "public, max-age=31536000, immutable";
const FOR_PROGRAMS = new Set(["/openapi.json", "/healthz", "/readyz", "/metrics"]);
/** A file's name has an extension; an address of the dashboard has none. */
const FILE = /\.\w{1,10}$/;

export function serveDashboard(server: FastifyInstance, folder: string = WEB_FOLDER): void {
  server.addHook("onRequest", async (request, reply) => {
    void reply
      .header("content-security-policy", POLICY)
      .header("referrer-policy", "no-referrer")
      .header("cross-origin-opener-policy", "same-origin")
      .header("cross-origin-resource-policy", "same-origin");
    if (opens(request) && existsSync(join(folder, "index.html"))) {
      return reply
        .type("text/html; charset=utf-8")
        .header("cache-control", "no-cache")
        .header("vary", "accept")
        .send(readFileSync(join(folder, "index.html")));
    }
  });
  if (!existsSync(folder)) return;
  server.register(async (scope) => {
    scope.addHook("onRoute", (route) => {
      route.config = { ...route.config, access: "public" };
    });
    await scope.register(fastifyStatic, {
      root: folder,
      index: false,
      dotfiles: "ignore",
      cacheControl: false,
      // The build leaves each text's compressed form beside it.
      preCompressed: true,
      setHeaders: (reply) => void reply.header("cache-control", HELD),
    });
  });
}

function opens({ method, url, headers }: FastifyRequest): boolean {
  const path = url.split("?", 1)[0] ?? "";
  const html = headers.accept?.includes("text/html") === true;
  return method === "GET" && (html || path === "/") && !FOR_PROGRAMS.has(path) && !FILE.test(path);
}
