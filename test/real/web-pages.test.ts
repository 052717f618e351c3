/**
 * Every page of the dashboard in a real browser, before a played agent: 500 VMs, 10,000 past migrations, light, dark and
 * on a telephone, by keyboard, with the connection lost, with few rights. Sizes are judged by what exists, never by time.
 */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { migrationOf, progressOf } from "../fakes/fixtures.ts";
import { WebServer } from "../fakes/web-server.ts";
import { browserPath, hindrances, openBrowser, openPage, picture, type PageOptions } from "./browser.ts";

const SIZE = { hosts: 12, vms: 500, migrations: 10_000 };
/** Rows of a screen and some before and after it. */
const ROWS_MAX = 60;
const SEEN_MS = 20_000;
const LOOKS: Readonly<Record<string, PageOptions>> = {
  light: {},
  dark: { dark: true },
  phone: { phone: true },
};

describe.runIf(browserPath() !== undefined)("pages of the dashboard", () => {
  let browser: Browser;
  let server: WebServer;
  beforeAll(async () => {
    browser = await openBrowser();
    server = await WebServer.start({ ...SIZE, running: 3, speed: 0.2 });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.down();
  });

  async function on(
    act: (page: Page) => Promise<void>,
    options: PageOptions = {},
    at: WebServer = server,
  ): Promise<void> {
    const { page, complaints } = await openPage(browser, at.address, options);
    try {
      await page.getByRole("heading", { name: "Virtual machines" }).waitFor({ timeout: SEEN_MS });
      await act(page);
      expect(complaints).toEqual([]);
    } catch (error) {
      await picture(page, `failed-${Date.now()}`, false);
      throw error;
    } finally {
      await page.close();
    }
  }
  const go = (page: Page, hash: string): Promise<void> =>
    page.evaluate((to) => {
      (globalThis as unknown as { location: { hash: string } }).location.hash = to;
    }, hash);
  const rows = (page: Page): Promise<number> => page.getByRole("row").count();
  const ended = (): string[] =>
    server.fleet.history.filter((view) => view.outcome === "done").map((view) => view.id);

  const pages = (): readonly (readonly [name: string, hash: string, sign: string])[] => [
    ["fleet", "#/", "Virtual machines"],
    ["history", "#/history", "History"],
    ["live", "#/migrations/live-1", "Rounds"],
    ["report", `#/migrations/${ended()[0]}`, "The five metrics"],
    ["replay", `#/migrations/${ended()[0]}/replay`, "The pause"],
    ["compare", `#/compare?ids=${ended().slice(0, 3).join(",")}`, "The five metrics, each against the first"],
    ["audit", "#/audit", "Audit"],
    ["unknown", "#/nowhere", "There is no such page"],
  ];

  describe.each(Object.entries(LOOKS))("%s", (look, options) => {
    it(
      "nothing hinders anyone, nothing is cut off, nothing comes from elsewhere",
      { timeout: 120_000 },
      async () => {
        await on(async (page) => {
          for (const [name, hash, sign] of pages()) {
            await go(page, hash);
            await page.getByRole("heading", { name: sign }).first().waitFor({ timeout: SEEN_MS });
            expect([name, await hindrances(page)]).toEqual([name, []]);
            const beyond = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
            expect([name, beyond]).toEqual([name, 0]);
            await picture(page, `${name}-${look}`);
          }
          await go(page, "#/");
          await page.getByLabel("Name, host, state or label").fill("rack1-a running");
          await page
            .getByRole("button", { name: /^Migrate / })
            .first()
            .click();
          await page.getByText("Nothing is in the way").waitFor({ timeout: SEEN_MS });
          expect(await hindrances(page)).toEqual([]);
          await picture(page, `start-${look}`, false);
        }, options);
      },
    );
  });

  it("500 VMs: as many rows as are seen, found by words, reached by keys", { timeout: 60_000 }, async () => {
    await on(async (page) => {
      await page.getByText("500", { exact: true }).waitFor();
      expect(await rows(page)).toBeLessThan(ROWS_MAX);
      const table = page.getByRole("grid", { name: "Virtual machines" });
      expect(await table.getAttribute("aria-rowcount")).toBe("501");
      await table.getByRole("row").nth(1).focus();
      await page.keyboard.press("End");
      await page.locator('[aria-rowindex="501"]:focus').waitFor({ timeout: SEEN_MS });
      expect(await rows(page)).toBeLessThan(ROWS_MAX);
      await page.getByLabel("Name, host, state or label").fill("role=db rack1-a");
      await page
        .getByRole("row", { name: /db-\d+ rack1-a/ })
        .first()
        .waitFor();
      await page.getByLabel("Name, host, state or label").fill("nothing like it");
      await page.getByText("No VM fits").waitFor();
    });
  });

  it(
    "10,000 past migrations: as many rows as are seen, filtered, opened by a key",
    { timeout: 60_000 },
    async () => {
      await on(async (page) => {
        await go(page, "#/history");
        await page.getByText(/^10,00\d$/).waitFor({ timeout: SEEN_MS });
        expect(await rows(page)).toBeLessThan(ROWS_MAX);
        const everything = await page.evaluate("document.querySelectorAll('*').length");
        expect(everything).toBeLessThan(1500);
        await page.getByRole("row").nth(1).focus();
        await page.keyboard.press("End");
        await page.locator('[aria-rowindex="10004"]:focus').waitFor({ timeout: SEEN_MS });
        expect(await rows(page)).toBeLessThan(ROWS_MAX);
        await page.getByLabel("Outcome", { exact: true }).selectOption("timed-out");
        await page.getByRole("gridcell", { name: "Timed out" }).first().waitFor();
        await page.getByRole("row").nth(1).focus();
        await page.keyboard.press("Enter");
        await page
          .getByRole("heading", { level: 1 })
          .filter({ hasText: "Timed out" })
          .waitFor({ timeout: SEEN_MS });
      });
    },
  );

  it(
    "a migration is started with the keyboard alone; Escape gives focus back",
    { timeout: 60_000 },
    async () => {
      await on(async (page) => {
        await page.getByLabel("Name, host, state or label").fill("rack1-a running");
        await page
          .getByRole("button", { name: /^Migrate / })
          .first()
          .waitFor();
        const row = page.getByRole("row").nth(2);
        await row.focus();
        await page.keyboard.press("Enter");
        const dialog = page.getByRole("dialog");
        await dialog.waitFor();
        await expect
          .poll(() => dialog.evaluate((element) => element.contains(element.ownerDocument.activeElement)))
          .toBe(true);
        await page.keyboard.press("Escape");
        await dialog.waitFor({ state: "detached" });
        expect(await row.evaluate((element) => element === element.ownerDocument.activeElement)).toBe(true);
        await page.keyboard.press("Enter");
        await dialog.getByLabel("Bandwidth at most").focus();
        await page.keyboard.type("100");
        await dialog.getByText(/a unit is needed/).waitFor();
        expect(await dialog.getByRole("button", { name: /Migrate to/ }).isDisabled()).toBe(true);
        await page.keyboard.type("MiB/s");
        await dialog.getByText("Nothing is in the way").waitFor({ timeout: SEEN_MS });
        await page.keyboard.press("Enter");
        await page
          .getByRole("heading", { level: 1 })
          .filter({ hasText: /Copying|Preparing/ })
          .waitFor({ timeout: SEEN_MS });
        expect(await page.evaluate("document.activeElement?.id")).toBe("main");
      });
    },
  );

  it("a blocker keeps the button closed and says its cure", { timeout: 60_000 }, async () => {
    await on(async (page) => {
      await page.getByLabel("Name, host, state or label").fill("rack1-a running");
      await page
        .getByRole("button", { name: /^Migrate / })
        .first()
        .click();
      await page.getByRole("combobox", { name: "Target" }).selectOption("rack1-c");
      await page.getByText("Upgrade QEMU on b.").waitFor({ timeout: SEEN_MS });
      expect(await page.getByRole("button", { name: "Migrate to rack1-c" }).isDisabled()).toBe(true);
    });
  });

  it(
    "an agent that goes and comes back is said, waited for, and read again",
    { timeout: 60_000 },
    async () => {
      await using own = await WebServer.start({ hosts: 3, vms: 9, migrations: 5, running: 1, speed: 0.1 });
      await on(
        async (page) => {
          await go(page, "#/migrations/live-1");
          const shown = page.getByRole("progressbar").first();
          await shown.waitFor({ timeout: SEEN_MS });
          await own.down();
          await page.getByText("The agent does not answer.").waitFor({ timeout: SEEN_MS });
          await page.getByRole("banner").getByText("Lost").waitFor();
          expect(await hindrances(page)).toEqual([]);
          const asked = own.asked.length;
          await own.up();
          await page.getByRole("banner").getByText("Live").waitFor({ timeout: SEEN_MS });
          await expect
            .poll(() => own.asked.slice(asked).filter((one) => one.startsWith("GET /migrations")))
            .not.toEqual([]);
        },
        {},
        own,
      );
    },
  );

  it("a percentage never runs backwards, even when the agent's does", { timeout: 60_000 }, async () => {
    await using own = await WebServer.start({ hosts: 3, vms: 9, migrations: 5, running: 0 });
    const act = async (page: Page): Promise<void> => {
      const tell = (fraction: number, elapsedMs: number): void =>
        own.publish({
          type: "migration",
          migration: migrationOf({ id: "told-1", vm: "told", progress: progressOf({ fraction, elapsedMs }) }),
        });
      tell(0.61, 1000);
      const card = page.getByRole("link", { name: /told/ });
      await card.getByText("61 %").waitFor({ timeout: SEEN_MS });
      tell(0.2, 2000);
      tell(0.62, 3000);
      await card.getByText("62 %").waitFor({ timeout: SEEN_MS });
      tell(0.1, 4000);
      own.publish({ type: "migration", migration: migrationOf({ id: "told-2", vm: "later" }) });
      await page.getByRole("link", { name: /later/ }).waitFor();
      await card.getByText("62 %").waitFor();
    };
    await on(act, {}, own);
  });

  it("the audit page says whether the log is whole", { timeout: 60_000 }, async () => {
    await on(async (page) => {
      await go(page, "#/audit");
      await page.getByText("whole: 240 entries").waitFor({ timeout: SEEN_MS });
      await page.getByLabel("Who, what, to what, code").fill("TOKEN_INVALID");
      await page.getByText("37 times").first().waitFor();
    });
  });

  it("a VM is taken back only when that is asked for twice", { timeout: 60_000 }, async () => {
    const waiting = server.fleet.history.find(
      (view) => view.outcome === "needs-person" && view.side === "source",
    );
    await on(async (page) => {
      await go(page, `#/migrations/${waiting?.id ?? ""}`);
      await page.getByRole("button", { name: "Recover …" }).click({ timeout: SEEN_MS });
      await page.getByText("what it has done on").waitFor();
      expect(await hindrances(page)).toEqual([]);
      await page.getByRole("button", { name: "Leave it" }).click();
      const recover = `POST /migrations/${waiting?.id ?? ""}/recover`;
      expect(server.asked).not.toContain(recover);
      await page.getByRole("button", { name: "Recover …" }).click();
      await page.getByRole("button", { name: /^Recover (?!…)/ }).click();
      const title = page.getByRole("heading", { level: 1 });
      await title.filter({ hasText: "Handing over" }).waitFor({ timeout: SEEN_MS });
      expect(server.asked).toContain(recover);
    });
  });

  it("who may only look is offered nothing else", { timeout: 60_000 }, async () => {
    await using own = await WebServer.start({
      hosts: 3,
      vms: 9,
      migrations: 5,
      running: 1,
      speed: 0.1,
      rights: ["read"],
    });
    await on(
      async (page) => {
        await page.getByText("This token may not start migrations.").first().waitFor({ timeout: SEEN_MS });
        expect(await page.getByRole("link", { name: "Audit" }).count()).toBe(0);
        await go(page, "#/migrations/live-1");
        await page.getByRole("heading", { name: /^Rounds/ }).waitFor({ timeout: SEEN_MS });
        expect(await page.getByRole("button", { name: /Cancel/ }).count()).toBe(0);
      },
      {},
      own,
    );
  });

  it("what a client waits is drawn live, in the report and in the replay", { timeout: 60_000 }, async () => {
    await on(async (page) => {
      const strip = page.getByRole("img", { name: /^What a client outside waits .* at most / });
      const id = ended()[0] ?? "";
      for (const hash of [
        "#/migrations/live-1",
        "#/migrations/live-2",
        `#/migrations/${id}`,
        `#/migrations/${id}/replay`,
      ]) {
        await go(page, hash);
        if (hash.endsWith("/replay")) {
          await page.getByRole("slider", { name: "Moment of the migration" }).press("End");
        }
        await strip.waitFor({ timeout: SEEN_MS });
      }
    });
  });

  it(
    "a replay plays, pauses, is scrubbed, and knows the end only at the end",
    { timeout: 60_000 },
    async () => {
      await on(async (page) => {
        await go(page, `#/migrations/${ended()[0]}/replay`);
        const slider = page.getByRole("slider", { name: "Moment of the migration" });
        await slider.waitFor({ timeout: SEEN_MS });
        await page
          .getByRole("heading", { level: 1 })
          .filter({ hasText: /Preparing|Copying/ })
          .waitFor();
        expect(await page.getByText("The five metrics").count()).toBe(0);
        await slider.focus();
        await page.keyboard.press("End");
        await page.getByText("The five metrics").waitFor({ timeout: SEEN_MS });
        await page.keyboard.press("Home");
        await page.getByLabel("Speed").selectOption("16");
        await page.getByRole("button", { name: "Play" }).click();
        await page.getByRole("button", { name: "Play" }).waitFor({ timeout: SEEN_MS });
        await page.getByRole("heading", { level: 1 }).filter({ hasText: "Done" }).waitFor();
      });
    },
  );

  it("two are ticked in the history and compared", { timeout: 60_000 }, async () => {
    await on(async (page) => {
      await go(page, "#/history");
      await page.getByLabel("Outcome", { exact: true }).selectOption("done");
      const ticks = page.getByRole("checkbox");
      await ticks.nth(1).check({ timeout: SEEN_MS });
      await ticks.nth(3).check();
      await page.getByRole("button", { name: "Compare 2" }).click();
      await page.getByRole("heading", { name: "Compare migrations" }).waitFor({ timeout: SEEN_MS });
      await page.getByRole("img", { name: /Memory left to move/ }).waitFor({ timeout: SEEN_MS });
      expect(await page.getByRole("columnheader").count()).toBeGreaterThanOrEqual(3);
    });
  });
});
