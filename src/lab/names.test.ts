import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  GUESTS_MAX,
  checkNames,
  clientAddress,
  guestAddress,
  guestMac,
  hostNamespace,
  labHome,
  labPlace,
  netNamespace,
  switchInterface,
} from "./names.ts";

const SOCKET_PATH_MAX = 107;
const lab = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,30}$/);
const host = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,15}$/).filter((name) => !name.startsWith("net"));
const home = fc.stringMatching(/^(\/[a-z]{1,20}){1,12}$/);

describe("names in a lab", () => {
  it("fit an interface and a socket path, however deep the lab's folder lies", () => {
    fc.assert(
      fc.property(lab, host, home, (name, hostName, where) => {
        checkNames(name, [hostName]);
        const place = labPlace(name, where);
        for (const kind of ["m", "g", "d", "c"] as const) {
          expect(switchInterface(place.id, kind, 999).length).toBeLessThanOrEqual(15);
        }
        const socket = `${place.shortFolder}/h/${hostName}/vms/${"v".repeat(40)}/console.sock`;
        expect(Buffer.byteLength(socket)).toBeLessThanOrEqual(SOCKET_PATH_MAX);
        expect(place.subnet).toBeGreaterThanOrEqual(1);
        expect(place.subnet).toBeLessThanOrEqual(254);
      }),
    );
  });

  it("hold the lab's id in every namespace, and no host has that of a client", () => {
    fc.assert(
      fc.property(lab, host, fc.nat(GUESTS_MAX), (name, hostName, guest) => {
        const { id } = labPlace(name, "/x");
        expect(hostNamespace(id, hostName)).toContain(id);
        expect(hostNamespace(id, hostName)).not.toBe(netNamespace(id, guest));
      }),
    );
  });

  it("give no two guests or clients of a lab one address, nor one MAC", () => {
    const numbers = Array.from({ length: GUESTS_MAX }, (_, number) => number);
    const addresses = numbers.flatMap((n) => [guestAddress(7, n), clientAddress(7, n)]);
    expect(new Set(addresses).size).toBe(addresses.length);
    expect(addresses.every((address) => Number(address.split(".")[3]) < 255)).toBe(true);
    expect(new Set(numbers.map((n) => guestMac(7, n))).size).toBe(GUESTS_MAX);
    expect(guestMac(7, 0)).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
  });

  it.each([
    ["../x", ["a"]],
    ["x", ["net"]],
    ["x", ["a", "a"]],
    ["x", ["A"]],
    ["x", ["a/b"]],
  ])("refuse %s with hosts %j", (name, hosts) => {
    expect(() => checkNames(name, hosts)).toThrow(expect.objectContaining({ code: "USAGE" }));
  });

  it("lie where the environment says", () => {
    expect(labHome({ GODWIT_LAB_HOME: "/l", XDG_STATE_HOME: "/s" })).toBe("/l");
    expect(labHome({ XDG_STATE_HOME: "/s" })).toBe("/s/godwit/lab");
    expect(labHome({ XDG_STATE_HOME: "relative" })).toMatch(/\.local\/state\/godwit\/lab$/);
  });
});
