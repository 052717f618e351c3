/**
 * The dashboard drives real migrations: two agents in namespaces, real QEMUs, a real browser. Everything is done as a
 * person does it, by what the page shows; where the guest runs is asked of the guest.
 */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { stopAgent, startAgent } from "../../src/lab/agents.ts";
import { openDoor } from "../../src/lab/door.ts";
import { Arena, explainSkip, isRoot } from "./arena.ts";
import { browserPath, hindrances, openBrowser, openPage, picture, type Opened } from "./browser.ts";

explainSkip("web.test.ts");

const SLOW = "400kB/s";
/** Twenty seconds of fetching: long enough to be seen by a slow browser. */
const VERY_SLOW = "100kB/s";
const SEEN_MS = 20_000;

describe.runIf(isRoot && browserPath() !== undefined)("the dashboard of a real agent", () => {
  let arena: Arena;
  let browser: Browser;
  let address: string;
  beforeAll(async () => {
    arena = await Arena.up();
    browser = await openBrowser();
    const url = await openDoor(arena.lab, "a");
    const { token } = await arena.client("a").createToken({ body: { name: "web", rights: ["administer"] } });
    address = `${url}#token=${token}`;
  });
  afterAll(async () => {
    await browser?.close();
    await arena?.down();
  });

  async function look(act: (opened: Opened) => Promise<void>): Promise<void> {
    const opened = await openPage(browser, address);
    try {
      await act(opened);
      expect(opened.complaints).toEqual([]);
    } catch (error) {
      await picture(opened.page, `failed-${Date.now()}`);
      throw error;
    } finally {
      await opened.page.close();
    }
  }

  interface Wanted {
    readonly bandwidth?: string;
    readonly technique?: string;
  }
  async function start(page: Page, name: string, { bandwidth, technique }: Wanted = {}): Promise<void> {
    await page.getByRole("button", { name: `Migrate ${name}` }).click({ timeout: SEEN_MS });
    const dialog = page.getByRole("dialog");
    if (technique !== undefined) await dialog.getByRole("radio", { name: technique }).check();
    if (bandwidth !== undefined) {
      await dialog.getByLabel("Bandwidth at most").fill(bandwidth);
      // The relays would send this guest in no time, whatever the cap.
      await dialog.locator("#start-wire").selectOption("direct");
    }
    await dialog.getByText("Nothing is in the way from a to b.").waitFor({ timeout: SEEN_MS });
    await dialog.getByRole("button", { name: "Migrate to b" }).click();
    await page.getByRole("heading", { level: 1, name }).waitFor({ timeout: SEEN_MS });
  }
  const shows = (page: Page, phase: string): Promise<void> =>
    page
      .getByRole("heading", { level: 1 })
      .filter({ hasText: phase })
      .waitFor({ timeout: SEEN_MS * 2 });
  const percent = async (page: Page): Promise<number> =>
    Number(await page.getByRole("progressbar").first().getAttribute("aria-valuenow"));

  it("starts a migration, shows it, and cancels it: the VM stays", { timeout: 120_000 }, async () => {
    const name = await arena.guest("a");
    await look(async ({ page }) => {
      await start(page, name, { bandwidth: SLOW });
      await shows(page, "Copying");
      const seen = [await percent(page)];
      await page.getByText("Time left").waitFor();
      for (let turn = 0; turn < 8; turn += 1) {
        await page.getByRole("figure").first().waitFor();
        seen.push(await percent(page));
      }
      expect(seen).toEqual(seen.toSorted((a, b) => a - b));
      expect(await hindrances(page)).toEqual([]);
      await picture(page, "real-copying");
      await page.getByRole("button", { name: "Cancel …" }).click();
      await page.getByRole("button", { name: "Let it go on" }).click();
      await shows(page, "Copying");
      await page.getByRole("button", { name: "Cancel …" }).click();
      await page.getByRole("button", { name: "Cancel the migration" }).click();
      await shows(page, "Cancelled");
      await page.getByText("The five metrics").waitFor({ timeout: SEEN_MS });
    });
    expect(await arena.ticking(name)).toEqual(["a"]);
    await arena.killQemus(name);
  });

  it("follows another one to its end: report, file, replay, history", { timeout: 120_000 }, async () => {
    const name = await arena.guest("a");
    await look(async ({ page }) => {
      await start(page, name);
      await shows(page, "Done");
      await page.getByText("The five metrics").waitFor({ timeout: SEEN_MS });
      await page.getByText("the target takes the guest over, journaled").waitFor({ timeout: SEEN_MS });
      expect(await percent(page)).toBe(100);
      await picture(page, "real-done");
      const [file] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: "Download JSON" }).click(),
      ]);
      expect(file.suggestedFilename()).toMatch(/^godwit-.*\.json$/);
      await page.getByRole("link", { name: "Replay" }).click();
      await page.getByRole("slider", { name: "Moment of the migration" }).waitFor({ timeout: SEEN_MS });
      await page.getByRole("link", { name: "History" }).click();
      await page.getByRole("row", { name }).first().waitFor({ timeout: SEEN_MS });
    });
    expect(await arena.ticking(name)).toEqual(["b"]);
    await arena.killQemus(name);
  });

  it("lives through the agent's death while it copies", { timeout: 120_000 }, async () => {
    const name = await arena.guest("a");
    await look(async ({ page }) => {
      await start(page, name, { bandwidth: SLOW });
      await shows(page, "Copying");
      const before = await percent(page);
      await stopAgent(arena.lab, "a", "SIGKILL");
      await page.getByText("The agent does not answer.").waitFor({ timeout: SEEN_MS });
      await picture(page, "real-agent-away");
      await startAgent(arena.lab, "a");
      await page.getByRole("banner").getByText("Live").waitFor({ timeout: SEEN_MS });
      await shows(page, "Copying");
      expect(await percent(page)).toBeGreaterThanOrEqual(before);
      await page.getByRole("button", { name: "Cancel …" }).click();
      await page.getByRole("button", { name: "Cancel the migration" }).click();
      await shows(page, "Cancelled");
    });
    expect(await arena.ticking(name)).toEqual(["a"]);
    await arena.killQemus(name);
  });

  it("recovers a post-copy whose link broke", { timeout: 120_000 }, async () => {
    const name = await arena.guest("a");
    await look(async ({ page }) => {
      await start(page, name, { bandwidth: VERY_SLOW, technique: "post-copy" });
      await shows(page, "Fetching");
      await arena.link("down");
      await arena.breakStream();
      await shows(page, "Fetch paused");
      await picture(page, "real-fetch-paused");
      // While the link is down no try of the agents' own can be first.
      await page.getByRole("button", { name: "Recover" }).click();
      await expect
        .poll(async () => (await arena.client("a").audit()).items.map(({ who, what }) => `${who} ${what}`))
        .toContain("token web recover");
      await shows(page, "Fetch paused");
      await arena.link("up");
      await page
        .getByRole("heading", { level: 1 })
        .filter({ hasText: /Fetching|Done/ })
        .waitFor({ timeout: SEEN_MS * 2 });
    });
    // Once the pages it waits for have come over the slow link.
    await expect.poll(() => arena.ticking(name), { timeout: SEEN_MS * 3 }).toEqual(["b"]);
    await arena.killQemus(name);
  });

  it("refuses a token the agent does not know, and takes the right one", { timeout: 60_000 }, async () => {
    const opened = await openPage(browser, address.replace(/#token=.*/, "#token=not-a-token-of-this-agent"));
    try {
      const { page } = opened;
      await page.getByRole("alert").waitFor({ timeout: SEEN_MS });
      expect(await hindrances(page)).toEqual([]);
      await picture(page, "real-token");
      await page.getByLabel("Token").fill(address.split("#token=")[1] ?? "");
      await page.getByRole("button", { name: "Open the dashboard" }).click();
      await page.getByRole("heading", { name: "Virtual machines" }).waitFor({ timeout: SEEN_MS });
      expect(page.url()).not.toContain("token");
    } finally {
      await opened.page.close();
    }
  });
});
