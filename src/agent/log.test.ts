import { fstatSync } from "node:fs";

import { describe, expect, test } from "vitest";

import { migrationOf, vm } from "../../test/fakes/fixtures.ts";
import { EventHub } from "./events.ts";
import { isJournal, makeLog, prioritised } from "./log.ts";
import { logEvents } from "./log-events.ts";

const sink = (): { readonly lines: string[]; write(line: string): void } => {
  const lines: string[] = [];
  return { lines, write: (line) => void lines.push(line) };
};

describe("under journald", () => {
  test("each line begins with its priority, and stays JSON behind it", () => {
    const to = sink();
    const log = makeLog("a", prioritised(to));
    log.info("i");
    log.warn("w");
    log.child({ migration: "m-1" }).error("e");
    log.fatal("f");
    expect(to.lines.map((line) => line.slice(0, 3))).toEqual(["<6>", "<4>", "<3>", "<2>"]);
    expect(JSON.parse(to.lines[2]?.slice(3) ?? "")).toMatchObject({ host: "a", migration: "m-1", msg: "e" });
  });

  test("the variable counts only where it names stderr itself", () => {
    const { dev, ino } = fstatSync(2);
    expect(isJournal(`${dev}:${ino}`)).toBe(true);
    expect(isJournal("1:1")).toBe(false);
    expect(isJournal(undefined)).toBe(false);
  });
});

test("what could be a secret is not written", () => {
  const to = sink();
  makeLog("a", to).warn({ headers: { authorization: "Bearer s3cret" }, token: "s3cret" }, "odd");
  expect(to.lines.join("")).not.toContain("s3cret");
});

describe("events as lines", () => {
  const said = (act: (hub: EventHub) => void): Record<string, unknown>[] => {
    const to = sink();
    const hub = new EventHub();
    logEvents(hub, makeLog("a", to));
    act(hub);
    return to.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  };

  test("a phase is one line, however often its progress is told", () => {
    const lines = said((hub) => {
      for (let i = 0; i < 5; i += 1) hub.publish({ type: "migration", migration: migrationOf() });
      for (let i = 0; i < 2; i += 1)
        hub.publish({ type: "migration", migration: migrationOf({ phase: "done", outcome: "done" }) });
    });
    expect(lines.map((line) => line["msg"])).toEqual(["migration copying", "migration done"]);
    for (const line of lines) expect(line).toMatchObject({ migration: "m-1", vm: "db-1" });
  });

  test.each([
    ["cancelled", 30],
    ["failed", 40],
    ["needs-person", 50],
  ] as const)("%s has level %i and says why", (outcome, level) => {
    const [line] = said((hub) =>
      hub.publish({ type: "migration", migration: migrationOf({ outcome, reason: "because" }) }),
    );
    expect(line).toMatchObject({ level, reason: "because" });
  });

  test("a lost VM is an error, and belongs to its migration", () => {
    const [line] = said((hub) =>
      hub.publish({ type: "vm", vm: { ...vm(), state: "lost", migration: "m-1" } }),
    );
    expect(line).toMatchObject({ level: 50, vm: "db-1", migration: "m-1" });
  });
});
