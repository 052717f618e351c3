/**
 * Debian's Chromium, driven by playwright-core, for tests of the dashboard: opens pages, keeps pictures in test-output/,
 * and asks axe what people with disabilities would meet.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

import { chromium, type Browser, type Page, type Request } from "playwright-core";

const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const PICTURES = resolve(import.meta.dirname, "../../test-output/web");
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const DESKTOP = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };

export const browserPath = (): string | undefined => BROWSERS.find((path) => existsSync(path));

export function openBrowser(): Promise<Browser> {
  const executablePath = browserPath();
  if (executablePath === undefined) throw new Error("No Chromium here: apt-get install chromium");
  return chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

export interface PageOptions {
  readonly dark?: boolean;
  readonly phone?: boolean;
  /** Motion makes pictures differ and axe look at colours half way. */
  readonly motion?: boolean;
}

export interface Opened {
  readonly page: Page;
  /** What the page complained about: faults, and requests to anywhere but its own server. */
  readonly complaints: string[];
}

export async function openPage(
  browser: Browser,
  address: string,
  options: PageOptions = {},
): Promise<Opened> {
  const page = await browser.newPage({
    viewport: options.phone === true ? PHONE : DESKTOP,
    colorScheme: options.dark === true ? "dark" : "light",
    reducedMotion: options.motion === true ? "no-preference" : "reduce",
  });
  const complaints: string[] = [];
  const origin = new URL(address).origin;
  page.on("pageerror", (error) => complaints.push(error.message));
  page.on("console", (message) => {
    // A server that is away is the page's daily bread, and Chromium logs it by itself.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
      complaints.push(message.text());
    }
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith("blob:"))
      complaints.push(`asked ${request.url()}`);
  });
  await page.goto(address);
  return { page, complaints };
}

export async function picture(page: Page, name: string, fullPage = true): Promise<void> {
  mkdirSync(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage });
}

/** Bytes the browser took over the network meanwhile, headers included, until its fonts are there as well. */
export async function bytesOver(page: Page, act: () => Promise<void>): Promise<number> {
  const sizes: Promise<number>[] = [];
  const count = (request: Request): void => {
    sizes.push(request.sizes().then((size) => size.responseBodySize + size.responseHeadersSize));
  };
  page.on("requestfinished", count);
  await act();
  await page.evaluate("document.fonts.ready.then(() => undefined)");
  page.off("requestfinished", count);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** Processor time of all pages so far, in seconds: of what runs them, not of the browser around them. */
export async function pageCpuSeconds(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  return processInfo.filter(({ type }) => type === "renderer").reduce((sum, one) => sum + one.cpuTime, 0);
}

/** Says, whenever it is asked, how often the page has been laid out since. */
export async function layoutCounter(page: Page): Promise<() => Promise<number>> {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const count = async (): Promise<number> => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "LayoutCount")?.value ?? 0;
  };
  const before = await count();
  return async () => (await count()) - before;
}

/** Serious and critical findings, each in a line; evaluated, not injected as a tag, because of the page's policy. */
export async function hindrances(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const axe = (globalThis as unknown as { axe: { run: (options: object) => Promise<AxeResult> } }).axe;
    const { violations } = await axe.run({ resultTypes: ["violations"] });
    return violations.map(({ id, impact, help, nodes }) => ({
      impact,
      text: `${id}: ${help}: ${nodes
        .slice(0, 4)
        .map((node) => `${node.target.join(" ")} (${node.any.map((one) => one.message).join("; ")})`)
        .join(" | ")}`,
    }));
  });
  return found.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ text }) => text);
}

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string;
    readonly help: string;
    readonly nodes: readonly {
      readonly target: readonly string[];
      readonly any: readonly { readonly message: string }[];
    }[];
  }[];
}
