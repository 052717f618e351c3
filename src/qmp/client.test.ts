import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { nextEvent, qmpContract } from "../../test/contracts/qmp.ts";
import { type FakeQmpOptions, FakeQmpServer } from "../../test/fakes/qmp-server.ts";
import { connectQmp } from "./client.ts";
import { EventQueue } from "./event-queue.ts";

let dir: string;
const path = (): string => join(dir, "qmp.sock");
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "qmp-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const serve = (options: FakeQmpOptions = {}): Promise<FakeQmpServer> => FakeQmpServer.listen(path(), options);
const silence = () => "silence" as const;

qmpContract("the fake", async () => {
  const fake = await serve();
  return {
    socketPath: path(),
    freeze: () => fake.freeze(),
    lose: () => fake.drop(),
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
});

describe("connectQmp", () => {
  it("says QMP_LOST when nobody listens", async () => {
    await expect(connectQmp(path())).rejects.toMatchObject({ code: "QMP_LOST" });
  });

  it.each([
    ["another protocol", "220 mail.example ESMTP\r\n"],
    ["JSON that is no message", "[1,2]\r\n"],
    ["a greeting without a version", '{"QMP":{"capabilities":[]}}\r\n'],
    ["text that is not UTF-8", Buffer.from([0x22, 0xff, 0x22, 0x0a])],
  ])("refuses %s as QMP_PROTOCOL", async (_what, greeting) => {
    await using _fake = await serve({ greeting });
    await expect(connectQmp(path())).rejects.toMatchObject({ code: "QMP_PROTOCOL" });
  });

  it("gives up on a peer that never greets", async () => {
    await using _fake = await serve({ greeting: "" });
    await expect(connectQmp(path(), { timeoutMs: 20 })).rejects.toMatchObject({ code: "QMP_TIMEOUT" });
    await expect(connectQmp(path(), { signal: AbortSignal.abort(new Error("stop")) })).rejects.toThrow(
      "stop",
    );
  });

  it("enables out-of-band commands when they are offered, else sends them in band", async () => {
    const offered = await serve();
    await using first = await connectQmp(path());
    await first.execute("migrate-pause", {}, { outOfBand: true }).catch(() => {});
    expect(offered.received.map((r) => [r.verb, r.command])).toEqual([
      ["execute", "qmp_capabilities"],
      ["exec-oob", "migrate-pause"],
    ]);
    expect(offered.received[0]?.args).toEqual({ enable: ["oob"] });
    await offered[Symbol.asyncDispose]();

    await using plain = await serve({ capabilities: [] });
    await using second = await connectQmp(path());
    await second.execute("migrate-pause", {}, { outOfBand: true }).catch(() => {});
    expect(plain.received.map((r) => r.verb)).toEqual(["execute", "execute"]);
    expect(plain.received[0]?.args).toEqual({});
  });
});

describe("a connection", () => {
  it("matches replies by id even when they come in another order, and drops unknown ids", async () => {
    await using fake = await serve({ handlers: { "query-status": silence, "query-kvm": silence } });
    await using qmp = await connectQmp(path());
    const status = qmp.execute("query-status", {});
    const kvm = qmp.execute("query-kvm", {});
    await qmp.execute("query-version", {});
    const [, statusId, kvmId] = fake.received.map((r) => r.id);
    fake.send({ return: "for nobody", id: 999 });
    fake.send({ return: "for nobody" });
    fake.send({ return: "kvm", id: kvmId });
    fake.send({ return: "status", id: statusId });
    expect(await status).toBe("status");
    expect(await kvm).toBe("kvm");
  });

  it("stops waiting after the time allowed; the late reply harms nothing", async () => {
    await using fake = await serve({ handlers: { "query-status": silence } });
    await using qmp = await connectQmp(path());
    await expect(qmp.execute("query-status", {}, { timeoutMs: 20 })).rejects.toMatchObject({
      code: "QMP_TIMEOUT",
      details: { command: "query-status", timeoutMs: 20 },
    });
    fake.send({ return: "late", id: fake.received.at(-1)?.id });
    expect(await qmp.execute("query-version", {})).toHaveProperty("qemu");
  });

  it("tells each command in flight that it was lost, and of none that was read that it was not", async () => {
    await using fake = await serve({ handlers: { "query-status": silence, stop: silence } });
    await using qmp = await connectQmp(path());
    const answers = [qmp.execute("query-status", {}), qmp.execute("stop", {})];
    const settled = Promise.allSettled(answers);
    await qmp.execute("query-version", {});
    fake.drop();
    expect(await settled).toMatchObject([
      { reason: { code: "QMP_LOST", details: { command: "query-status", unread: false } } },
      { reason: { code: "QMP_LOST", details: { command: "stop", unread: false } } },
    ]);
  });

  it("keeps what came before garbage, then ends", async () => {
    await using fake = await serve({ handlers: { "query-status": silence } });
    await using qmp = await connectQmp(path());
    using events = qmp.events();
    const answer = qmp.execute("query-status", {});
    const refused = expect(answer).rejects.toMatchObject({ code: "QMP_PROTOCOL" });
    fake.write('{"event":"STOP"}\r\n{"ev');
    fake.write('ent":"RESUME","data":7}\r\n');
    await refused;
    await qmp.closed;
    expect((await nextEvent(events))?.event).toBe("STOP");
    expect(await nextEvent(events)).toBeUndefined();
  });
});

describe("an event queue", () => {
  it("tells a listener that never read that it missed some, after what it kept", async () => {
    const queue = new EventQueue(undefined, () => {}, 2);
    for (const event of ["A", "B", "C"]) queue.push({ event, data: {}, atNs: 0n });
    expect((await nextEvent(queue))?.event).toBe("A");
    expect((await nextEvent(queue))?.event).toBe("B");
    await expect(nextEvent(queue)).rejects.toMatchObject({ code: "INTERNAL" });
  });

  it("wakes a listener that waits", async () => {
    const queue = new EventQueue(["B"], () => {});
    const first = nextEvent(queue);
    const second = nextEvent(queue);
    queue.push({ event: "A", data: {}, atNs: 0n });
    queue.push({ event: "B", data: {}, atNs: 1n });
    expect((await first)?.event).toBe("B");
    queue.close();
    expect(await second).toBeUndefined();
  });
});
