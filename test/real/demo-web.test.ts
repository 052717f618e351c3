/**
 * `npm run demo -- --web` as somebody tries it: it prints an address, the page behind it moves the demo's guest, and what
 * the demo's client waits is seen live and in the report. Ctrl-C leaves nothing.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { explainSkip, isRoot, until } from "./arena.ts";
import { browserPath, hindrances, openBrowser, openPage, picture } from "./browser.ts";
import { processesOf } from "./left-behind.ts";

explainSkip("demo-web.test.ts");

const MAIN = resolve(import.meta.dirname, "../../src/cli/main.ts");
const BOOT_MS = 150_000;
const SEEN_MS = 20_000;
const MOVE_MS = 120_000;

describe.runIf(isRoot && browserPath() !== undefined)("demo --web", () => {
  let home: string;
  let browser: Browser;
  let demo: ChildProcess;
  let said = "";
  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "gw-"));
    browser = await openBrowser();
    demo = spawn(process.execPath, [MAIN, "demo", "--web"], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, GODWIT_LAB_HOME: home },
    });
    for (const stream of [demo.stdout, demo.stderr])
      stream?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  });
  afterAll(async () => {
    await browser?.close();
    if (demo.exitCode === null) demo.kill("SIGINT");
    await until("the demo's end", SEEN_MS, () => demo.exitCode ?? undefined).catch(() => undefined);
    rmSync(home, { recursive: true, force: true });
  });

  test("the address it prints moves its guest, and Ctrl-C ends it all", { timeout: 400_000 }, async () => {
    const address = await until("an address", BOOT_MS, () => {
      if (demo.exitCode !== null) throw new Error(said);
      return /^ *a: +(http:\S+)$/m.exec(said)?.[1];
    });
    const { page, complaints } = await openPage(browser, address);
    await page.getByRole("button", { name: "Migrate redis" }).click({ timeout: SEEN_MS });
    const dialog = page.getByRole("dialog");
    // Slow enough to be looked at.
    await dialog.locator("#start-wire").selectOption("direct");
    await dialog.getByLabel("Bandwidth at most").fill("6MB/s");
    await dialog.getByText("Nothing is in the way from a to b.").waitFor({ timeout: SEEN_MS });
    await dialog.getByRole("button", { name: "Migrate to b" }).click();
    const title = page.getByRole("heading", { level: 1 });
    await title.filter({ hasText: "Copying" }).waitFor({ timeout: SEEN_MS });
    const strip = page.getByRole("img", { name: /^What a client outside waits .* at most / });
    await strip.waitFor({ timeout: SEEN_MS });
    await title.filter({ hasText: "Copying" }).waitFor();
    await picture(page, "demo-live");
    await title.filter({ hasText: "Done" }).waitFor({ timeout: MOVE_MS });
    // The client's figures reach the report some seconds after the end.
    await page
      .getByText("A client waited")
      .locator("+ dd")
      .filter({ hasText: /\d/ })
      .waitFor({ timeout: SEEN_MS });
    await page.getByText("every acknowledged write is read back").waitFor();
    await strip.waitFor();
    expect(await hindrances(page)).toEqual([]);
    await picture(page, "demo-report");
    expect(complaints).toEqual([]);
    await page.close();
    demo.kill("SIGINT");
    expect(await until("the demo's end", SEEN_MS, () => demo.exitCode ?? undefined)).toBe(0);
    expect(processesOf(home)).toEqual([]);
  });
});
