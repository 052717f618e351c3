#!/usr/bin/env node
/**
 * dist/ for the package, from src/: `node scripts/build.mjs`, also before `npm pack`. Node strips types from our
 * sources when it runs them, but refuses to inside node_modules; so what is published is compiled. Files that are not
 * TypeScript keep their places, and with them every path relative to a module.
 */
import { spawnSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..");
const SRC = join(ROOT, "src");
const DIST = join(ROOT, "dist");
/** Compiled here or elsewhere, or of no use in the package. */
const LEFT_OUT = [/\.ts$/, /\.tsx$/, /^page\/assembly(\/|$)/, /^web(\/|$)/];

function run(tool, ...args) {
  const command = join(ROOT, "node_modules", ".bin", tool);
  const { status } = spawnSync(command, args, { cwd: ROOT, stdio: ["ignore", 2, 2] });
  if (status !== 0) process.exit(status ?? 1);
}

rmSync(DIST, { recursive: true, force: true });
run("tsc", "-p", "tsconfig.build.json");
// The dashboard's own build keeps its budget; it needs the Node that strips types.
run("node", join("scripts", "build-web.ts"));
cpSync(SRC, DIST, {
  recursive: true,
  filter: (from) => !LEFT_OUT.some((pattern) => pattern.test(from.slice(SRC.length + 1))),
});
