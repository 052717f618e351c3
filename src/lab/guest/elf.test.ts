import { readFileSync } from "node:fs";

import { expect, test } from "vitest";

import { insertOrder, moduleDepends, neededLibraries } from "./elf.ts";

const module = (depends: string): Uint8Array =>
  Buffer.from(`\x7fELF\0license=GPL\0depends=${depends}\0name=x\0`);

test("a module's dependencies come from its own bytes", () => {
  expect(moduleDepends(module("virtio_ring,virtio"))).toEqual(["virtio_ring", "virtio"]);
  expect(moduleDepends(module(""))).toEqual([]);
  expect(moduleDepends(Buffer.from("nothing of the kind"))).toEqual([]);
});

test("every module comes once, and after all that it needs", () => {
  const needs: Record<string, string> = {
    net: "ring,virtio,failover",
    blk: "virtio,ring",
    ring: "",
    virtio: "ring",
    failover: "",
  };
  const order = insertOrder(["net", "blk"], (name) => module(needs[name] ?? ""));
  expect(order).toEqual(["ring", "virtio", "failover", "net", "blk"]);
});

test("modules that need each other are refused", () => {
  expect(() => insertOrder(["a"], (name) => module(name === "a" ? "b" : "a"))).toThrow("a → b → a");
});

test("a dynamic program names its libraries; what is not a program is refused", () => {
  expect(neededLibraries(readFileSync("/bin/sh"))).toContain("libc.so.6");
  expect(() => neededLibraries(Buffer.alloc(64))).toThrow(RangeError);
});
