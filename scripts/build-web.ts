/**
 * Bundles the dashboard into dist/web, each text with its compressed form beside it, which is what the agent sends. Prints
 * what a browser has to fetch before the first page stands, and fails when that is above the budget:
 * `node scripts/build-web.ts`.
 */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gzipSync } from "node:zlib";

import { build } from "vite";
import { z } from "zod";

import config, { WEB_OUT } from "../src/web/vite.config.ts";

/** JavaScript and CSS of the first load, as they are sent. */
const FIRST_LOAD_BYTES_MAX = 350_000;

const manifest = z.record(
  z.string(),
  z.object({
    file: z.string(),
    isEntry: z.boolean().default(false),
    isDynamicEntry: z.boolean().default(false),
    imports: z.array(z.string()).default([]),
    css: z.array(z.string()).default([]),
  }),
);
type Manifest = z.infer<typeof manifest>;

const started = performance.now();
await build({ ...config, configFile: false, logLevel: "warn" });
const parts = manifest.parse(JSON.parse(readFileSync(join(WEB_OUT, ".vite/manifest.json"), "utf8")));

for (const name of readdirSync(WEB_OUT, { recursive: true, encoding: "utf8" })) {
  if (!/\.(js|css|svg)$/.test(name)) continue;
  const file = join(WEB_OUT, name);
  writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: constants.Z_BEST_COMPRESSION }));
}

const compressed = (file: string): number => statSync(join(WEB_OUT, `${file}.gz`)).size;
const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;

/** Everything a part needs before it runs. */
function filesOf(all: Manifest, name: string, seen = new Set<string>()): Set<string> {
  const part = all[name];
  if (part === undefined || seen.has(part.file)) return seen;
  for (const file of [part.file, ...part.css]) seen.add(file);
  for (const next of part.imports) filesOf(all, next, seen);
  return seen;
}

const entry = Object.keys(parts).find((name) => parts[name]?.isEntry === true) ?? "";
const first = filesOf(parts, entry);
const firstBytes = [...first].reduce((sum, file) => sum + compressed(file), 0);
console.log(`first load: ${kilobytes(firstBytes)} compressed (budget ${kilobytes(FIRST_LOAD_BYTES_MAX)})`);
for (const file of first) console.log(`  ${kilobytes(compressed(file))}  ${file}`);
for (const [name, part] of Object.entries(parts)) {
  if (!part.isDynamicEntry) continue;
  const more = [...filesOf(parts, name)].filter((file) => !first.has(file));
  const bytes = more.reduce((sum, file) => sum + compressed(file), 0);
  console.log(`${name}: ${kilobytes(bytes)} more`);
}
console.log(`built in ${((performance.now() - started) / 1000).toFixed(1)} s: ${WEB_OUT}`);
if (firstBytes > FIRST_LOAD_BYTES_MAX) {
  console.error("The first load is above its budget.");
  process.exitCode = 1;
}
