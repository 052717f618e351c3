import { describe, expect, it } from "vitest";

import { bytesBetween, bytesOf, cpuSecondsOf, type LinkReading } from "./link-watch.ts";

const DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     500       5    0    0    0     0          0         0      500       5    0    0    0     0       0          0
  mig0: 1000 10    0    0    0     0          0         0    23000      99    0    0    0     0       0          0
`;

describe("the link's counters", () => {
  it("are the bytes of both directions of one interface", () => {
    expect(bytesOf(DEV, "mig0")).toBe(24_000);
    expect(bytesOf(DEV, "mig")).toBeNull();
    expect(bytesOf("", "mig0")).toBeNull();
  });

  it("between two moments are those of the readings just before them", () => {
    const readings: LinkReading[] = [10, 20, 30, 40].map((at) => ({ atNs: BigInt(at), bytes: at * 100 }));
    expect(bytesBetween(readings, 20n, 39n)).toBe(1000);
    expect(bytesBetween(readings, 10n, 40n)).toBe(3000);
  });

  it("are not known of a time nobody watched", () => {
    const readings: LinkReading[] = [{ atNs: 10n, bytes: 1 }];
    expect(bytesBetween(readings, 5n, 10n)).toBeNull();
    expect(bytesBetween(readings, 10n, 11n)).toBeNull();
    expect(bytesBetween([], 0n, 1n)).toBeNull();
  });
});

describe("a process's processor time", () => {
  it("is read behind a name that holds brackets and spaces", () => {
    const before = "42 (a ) b) S 1 42 42 0 -1 4194304 100 0 0 0";
    expect(cpuSecondsOf(`${before} 250 50 999 999 20 0`)).toBe(3);
  });
});
