/** What any monitor godwit talks to must do, and what `connectQmp` makes of it. Run against the fake and a real QEMU. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { EventStream, Qmp, QmpEvent } from "../../src/qmp/types.ts";
import { connectQmp } from "../../src/qmp/client.ts";

/** A monitor whose VM is paused. */
export interface Monitor extends AsyncDisposable {
  readonly socketPath: string;
  /** Stand still: nothing is read any more. */
  freeze(): void;
  /** End the program behind the socket without a word. */
  lose(): Promise<void> | void;
}

export async function nextEvent(stream: EventStream): Promise<QmpEvent | undefined> {
  const result = await stream[Symbol.asyncIterator]().next();
  return result.done === true ? undefined : result.value;
}

export function qmpContract(name: string, start: () => Promise<Monitor>): void {
  describe(`QMP contract: ${name}`, () => {
    let monitor: Monitor;
    let qmp: Qmp;
    beforeEach(async () => {
      monitor = await start();
      qmp = await connectQmp(monitor.socketPath);
    });
    afterEach(async () => {
      await qmp[Symbol.asyncDispose]();
      await monitor[Symbol.asyncDispose]();
    });

    it("says which version it is before any command", async () => {
      const { qemu } = await qmp.execute("query-version", {});
      expect(qmp.version).toMatchObject(qemu);
      expect(qmp.version.text).toBe(`${qemu.major}.${qemu.minor}.${qemu.micro}`);
    });

    it("gives each of many commands in flight its own answer", async () => {
      const answers = await Promise.all([
        qmp.execute("query-status", {}),
        qmp.execute("query-version", {}),
        qmp.execute("query-status", {}),
        qmp.execute("query-version", {}),
      ]);
      expect(answers[0]).toMatchObject({ running: false });
      expect(answers[1]).toHaveProperty("qemu");
      expect(answers[2]).toMatchObject({ running: false });
      expect(answers[3]).toHaveProperty("qemu");
    });

    it("tells a refusal with QEMU's class and text, and goes on", async () => {
      const capabilities = [{ capability: "no-such-capability", state: true }];
      await expect(qmp.execute("migrate-set-capabilities", { capabilities })).rejects.toMatchObject({
        code: "QMP_REFUSED",
        details: {
          command: "migrate-set-capabilities",
          qmpClass: "GenericError",
          desc: expect.stringContaining("no-such-capability"),
        },
      });
      expect(await qmp.execute("query-status", {})).toMatchObject({ running: false });
    });

    it("puts an event into every stream opened before the command that causes it, stamped on our clock", async () => {
      using all = qmp.events();
      using resumes = qmp.events(["RESUME"]);
      const beforeNs = process.hrtime.bigint();
      await qmp.execute("cont", {});
      await qmp.execute("stop", {});
      const events = [await nextEvent(all), await nextEvent(all)];
      expect(events.map((e) => e?.event)).toEqual(["RESUME", "STOP"]);
      expect(events[0]?.data).toEqual({});
      expect((await nextEvent(resumes))?.event).toBe("RESUME");
      const stamps = events.map((e) => e?.atNs ?? 0n);
      expect(stamps[0]).toBeGreaterThanOrEqual(beforeNs);
      expect(stamps[1]).toBeGreaterThanOrEqual(stamps[0] ?? 0n);
      expect(stamps[1]).toBeLessThanOrEqual(process.hrtime.bigint());
    });

    it("ends a stream that is closed, and only that one", async () => {
      using other = qmp.events();
      const closed = qmp.events();
      closed.close();
      await qmp.execute("cont", {});
      expect(await nextEvent(closed)).toBeUndefined();
      expect((await nextEvent(other))?.event).toBe("RESUME");
    });

    it("rejects with the signal's reason when aborted, and drops the answer", async () => {
      const abort = new AbortController();
      const answer = qmp.execute("query-status", {}, { signal: abort.signal });
      abort.abort(new Error("no longer wanted"));
      await expect(answer).rejects.toThrow("no longer wanted");
      expect(await qmp.execute("query-version", {})).toHaveProperty("qemu");
    });

    it("runs a command out of band", async () => {
      await expect(qmp.execute("migrate-pause", {}, { outOfBand: true })).rejects.toMatchObject({
        code: "QMP_REFUSED",
        details: { command: "migrate-pause" },
      });
    });

    it("says of the last command that it was never read, when the program behind it had not", async () => {
      await qmp.execute("query-status", {});
      monitor.freeze();
      const answers = Promise.allSettled([qmp.execute("query-status", {}), qmp.execute("cont", {})]);
      await monitor.lose();
      expect(await answers).toMatchObject([
        { reason: { code: "QMP_LOST", details: { command: "query-status", unread: false } } },
        { reason: { code: "QMP_LOST", details: { command: "cont", unread: true } } },
      ]);
      await expect(qmp.execute("cont", {})).rejects.toMatchObject({ details: { unread: true } });
    });

    it("says QMP_LOST once the program behind it is gone", async () => {
      using events = qmp.events();
      await monitor.lose();
      await qmp.closed;
      await expect(qmp.execute("query-status", {})).rejects.toMatchObject({
        code: "QMP_LOST",
        details: { command: "query-status" },
      });
      expect(await nextEvent(events)).toBeUndefined();
      expect(await nextEvent(qmp.events())).toBeUndefined();
    });
  });
}
