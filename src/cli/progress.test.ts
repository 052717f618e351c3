/** Progress as it is shown: a block painted over on a terminal, few lines in a log. */
import { expect, test } from "vitest";

import { migrationOf, progressOf } from "../../test/fakes/fixtures.ts";
import { Cli, processParts } from "./context.ts";
import { block, display, line, LINE_INTERVAL_MS } from "./progress.ts";

function shownBy(tty: boolean, columns = 80): { readonly cli: Cli; text: () => string } {
  let text = "";
  const stderr = { write: (more: string | Uint8Array) => (text += more as string), isTTY: tty, columns };
  return { cli: new Cli({ ...processParts, stderr, env: { NO_COLOR: "1" } }), text: () => text };
}

test("the block says how far, how fast, how long, and what limits it", () => {
  expect(block(migrationOf())).toEqual([
    "db-1  a → b  pre-copy  m-1",
    "██████████████░░░░░░░░░░░░░░░░ 48 %  copying, round 2",
    "sent 300 MiB, remaining 45 MiB of 512 MiB",
    "sending 20 MiB/s, dirtied 3 MiB/s",
    "12 s so far, about 8 s left (6 s to 12 s)",
    "The link limits it.",
  ]);
});

const wire = {
  pages: { zero: 40, raw: 0, compressed: 10, delta: 30, duplicate: 0, unchanged: 20, referenced: 0 },
  qemuBytes: 100 * 2 ** 20,
  wireBytes: 20 * 2 ** 20,
  ratio: 5,
  relayCpuSeconds: 1,
  relayRssBytes: 2 ** 20,
};

test("through the relays one line more says what they make of the stream", () => {
  const view = migrationOf({ progress: progressOf({ wire }) });
  expect(block(view)).toContain(
    "relays: 100 MiB as 20 MiB (5.0:1), pages: zero 40 %, unchanged 20 %, delta 30 %, compressed 10 %",
  );
  expect(line(view)).toContain("5.0:1 on the wire");
  const back = migrationOf({ progress: progressOf({ wire: { ...wire, keptPages: 1234 } }) });
  expect(block(back).join("\n")).toContain("(5.0:1), 1234 pages known from before, pages:");
  const passing = migrationOf({ progress: progressOf({ wire: { ...wire, passThrough: "a new section" } }) });
  expect(block(passing).join("\n")).toContain("passed as they are: a new section");
});

test("without an estimate nothing is estimated, and a throttle is told", () => {
  const { eta: _eta, ...rest } = progressOf({ throttlePercent: 40 });
  const text = line(migrationOf({ progress: rest }));
  expect(text).not.toContain("left");
  expect(text).toContain("vCPUs slowed by 40 %");
});

test("on a terminal the block is painted over, and gone at the end", () => {
  const { cli, text } = shownBy(true);
  const shown = display(cli);
  shown.show(migrationOf());
  shown.show(migrationOf());
  shown.end();
  const home = "\u001B[6A\u001B[0J";
  expect(text().split(home)).toHaveLength(3);
  expect(text().endsWith(home)).toBe(true);
});

test("no line is longer than a narrow terminal, or painting over it would fail", () => {
  const { cli, text } = shownBy(true, 20);
  display(cli).show(migrationOf());
  expect(
    Math.max(
      ...text()
        .split("\n")
        .map((one) => one.length),
    ),
  ).toBeLessThan(20);
});

test("a log gets a line per phase, and otherwise one every few seconds", () => {
  const { cli, text } = shownBy(false);
  const shown = display(cli);
  const at = (elapsedMs: number, phase: "copying" | "switching" = "copying"): void =>
    shown.show(migrationOf({ phase, progress: progressOf({ phase, elapsedMs }) }));
  at(0);
  at(100);
  at(LINE_INTERVAL_MS - 1);
  expect(text().split("\n")).toHaveLength(2);
  at(LINE_INTERVAL_MS);
  expect(text().split("\n")).toHaveLength(3);
  at(LINE_INTERVAL_MS + 1, "switching");
  expect(text().split("\n")).toHaveLength(4);
});

test("a percentage that was shown is not taken back, even by an agent that has restarted", () => {
  const { cli, text } = shownBy(false);
  const shown = display(cli);
  shown.show(migrationOf({ progress: progressOf({ fraction: 0.48 }) }));
  shown.show(
    migrationOf({ phase: "switching", progress: progressOf({ fraction: 0.1, phase: "switching" }) }),
  );
  expect(text().match(/\d+ %/g)).toEqual(["48 %", "48 %"]);
});
