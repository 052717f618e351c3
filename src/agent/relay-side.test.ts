/** The agent's two relays of one migration, as processes: they are ended, and what they keep is kept first. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it } from "vitest";

import { corpus } from "../../test/fuzz/corpus.ts";
import { Arena, until } from "../../test/relay/hostile.ts";
import { encodeReturn } from "../stream/return-path.ts";
import { RelaySide } from "./relay-side.ts";

const stream =
  corpus().find(({ reader, name }) => reader === "stream" && name.startsWith("pre-copy"))?.bytes ??
  new Uint8Array();
const answer = encodeReturn({ kind: "shut", value: 0 });

let arena: Arena;
let sides: RelaySide[] = [];
beforeEach(() => {
  arena = new Arena();
});
afterEach(async () => {
  for (const side of sides) await side.end();
  sides = [];
  arena.close();
});

function sideAt(host: string): RelaySide {
  const side = new RelaySide({
    stateDir: join(arena.dir, host),
    migration: "m-1",
    handles: [],
    journal: () => {},
  });
  sides.push(side);
  return side;
}

const compressed = { codec: { level: 1 } } as const;

async function migration(bytes: Uint8Array) {
  const [source, target] = [sideAt("a"), sideAt("b")];
  const files = ["a", "b"].map((host) => join(arena.dir, `${host}.store`));
  const [ofSource = "", ofTarget = ""] = files;
  await arena.qemuTarget(answer);
  const { port = 0 } = await target.start(() => arena.targetConfig({ ...compressed, storeFile: ofTarget }));
  await source.start(() => arena.sourceConfig(port, { ...compressed, storeFile: ofSource }));
  await source.connected();
  await until("QEMU may come", () => existsSync(join(arena.dir, "out.sock")));
  arena.qemuSource().socket().end(bytes);
  await Promise.all([source.lastWords(10_000), target.lastWords(10_000)]);
  return { source, target, files };
}

it("have said everything before they keep their stores, and have kept them when they are ended", async () => {
  const { source, target, files } = await migration(stream);
  expect(source.counters("out")).toMatchObject({ qemuBytes: stream.length, keptPages: 0 });
  expect(target.counters("in")?.qemuBytes).toBeGreaterThan(stream.length / 2);
  await Promise.all([source.end(), target.end()]);
  expect(files.map((file) => readFileSync(file).length > 0)).toEqual([true, true]);
  for (const host of ["a", "b"]) expect(readdirSync(join(arena.dir, host, "relays"))).toEqual([]);
});

it("keep nothing of a stream that was cut, and are ended at once", async () => {
  const { source, target, files } = await migration(stream.subarray(0, 9_000));
  expect(source.trouble).toContain("before its stream was complete");
  await Promise.all([source.end(), target.end()]);
  expect(existsSync(files[0] ?? "")).toBe(false);
  for (const host of ["a", "b"]) expect(readdirSync(join(arena.dir, host, "relays"))).toEqual([]);
});
