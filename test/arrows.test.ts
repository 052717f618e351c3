/** Imports go only along the arrows of ARCHITECTURE.md, and the deciding room touches nothing of the world. */
import { describe, expect, test } from "vitest";

import { foreign, imports, loads, sourceFiles, type SourceFile } from "./sources.ts";

/** Room → what it may import besides itself. A path names files; a room's name, all of it. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  std: [],
  api: ["std"],
  migration: ["api", "std"],
  stream: ["std"],
  page: [],
  wire: ["page/types.ts", "std"],
  boot: ["page/types.ts"],
  relay: ["stream", "page", "wire", "boot", "std"],
  qmp: ["std"],
  qemu: ["qmp", "api", "std"],
  agent: ["migration", "qmp", "qemu", "relay", "api", "std"],
  lab: ["api", "qemu", "qmp", "boot/elf.ts", "agent/pki.ts", "std"],
  bench: ["lab", "api", "std"],
  doctor: ["agent", "qemu", "api", "std"],
  cli: ["api", "lab", "bench", "doctor", "stream", "agent/main.ts", "agent/pki.ts", "std"],
  "index.ts": ["api", "std"],
  web: ["api", "std"],
};

const files = sourceFiles("src").filter((file) => !file.isTest);
const inRoom = (path: string): string => path.slice("src/".length);
const roomOf = (path: string): string => inRoom(path).split("/")[0] ?? "";

const strangers = (file: SourceFile): string[] => {
  const allowed = [roomOf(file.path), ...(ARROWS[roomOf(file.path)] ?? [])];
  return imports(file).filter(
    (path) => path.startsWith("src/") && !allowed.some((one) => inRoom(path) === one || roomOf(path) === one),
  );
};

test("every room is on the map", () => {
  const rooms = [...new Set(files.map((file) => roomOf(file.path)))];
  expect(rooms.filter((room) => !Object.hasOwn(ARROWS, room))).toEqual([]);
});

test.each(files.map((file) => [file.path, file] as const))("%s imports along the arrows", (_path, file) => {
  expect(strangers(file)).toEqual([]);
});

test("an import against the arrows would be seen", () => {
  const text = 'import { x } from "../agent/main.ts";\nawait import("../cli/main.ts");\nimport "./y.ts";\n';
  expect(strangers({ path: "src/std/z.ts", text, isTest: false })).toEqual([
    "src/agent/main.ts",
    "src/cli/main.ts",
  ]);
  expect(
    strangers({ path: "src/lab/z.ts", text: 'import "../agent/store.ts";', isTest: false }),
  ).toHaveLength(1);
});

/** Rooms that decide or compute, and touch nothing of the world. */
const PURE = ["migration", "stream", "page", "wire"];

describe("the pure rooms decide and do nothing else", () => {
  const deciding = files.filter((file) => PURE.includes(roomOf(file.path)));
  test.each(deciding.map((file) => [file.path, file] as const))("%s", (_path, file) => {
    expect(foreign(file)).toEqual([]);
    expect(codeOf(file.text).match(WORLD)).toBeNull();
  });
  test("a clock would be seen", () => {
    expect("const t = Date.now();").toMatch(WORLD);
    expect("setTimeout(f, 1)").toMatch(WORLD);
    expect("candidate.setTimeoutMs").not.toMatch(WORLD);
  });
});

/** Ways to the clock, to chance and to the process. */
const WORLD = /\b(Date|performance|setTimeout|setInterval|setImmediate|process|fetch|Math\.random)\s*[.(]/;

const codeOf = (text: string): string => text.replaceAll(/\/\*[\s\S]*?\*\//g, "").replaceAll(/\/\/.*$/gm, "");

test("no file needs itself to load", () => {
  const byPath = new Map(files.map((file) => [file.path, loads(file)]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const walk = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
    if (done.has(path) || trail.includes(path)) return;
    for (const next of byPath.get(path) ?? []) walk(next, [...trail, path]);
    done.add(path);
  };
  for (const path of byPath.keys()) walk(path, []);
  expect(cycles).toEqual([]);
});
