/**
 * The smallest guest that can prove its memory: no kernel, no disk, about ninety bytes of 32-bit code that QEMU loads
 * as a multiboot image. For ever, it walks its pages upwards, in each writes the page's own number and adds 1 to a
 * counter, flushes its TLB and says one letter on the serial port per pass. At any instant, then, walking up, each page's counter equals
 * the one before or is one less, and that step happens at most once: it marks where the walk stands. A lost, old or
 * swapped page breaks one of the two rules.
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { machineSpec } from "../../api/machine.ts";
import type { MachineSpec } from "../../api/machine.ts";
import { cacheDir, exists, putInPlace } from "./packages.ts";

export interface Ticker {
  readonly kernel: string;
  /** Physical address of the first page walked. */
  readonly firstPage: number;
  readonly pages: number;
}

export const PAGE_BYTES = 4096;
const LOAD_AT = 0x10_0000;
const FIRST_PAGE = 0x20_0000;
const PAGES = 512;
/** Rounds of an empty loop after each page. 512 pages then take about 25 ms under TCG: a dirty set of 2 MiB at most. */
const DELAY_ROUNDS = 7_000;

/** CR0's WP bit: without paging it means nothing. */
const WRITE_PROTECT = 1 << 16;

const u32 = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** Multiboot 0.6.96, section 3.1: with flag 16 the header itself says where a flat image goes, so no ELF is needed. */
const MULTIBOOT_MAGIC = 0x1bad_b002;
const MULTIBOOT_ADDRESSES = 0x1_0000;
const HEADER_BYTES = 32;

export function tickerImage(pages = PAGES, delayRounds = DELAY_ROUNDS): Uint8Array {
  // Offsets of jumps are those of the listing; `at` proves each of them when the image is made.
  const code: number[] = [];
  const labels = new Map<string, number>();
  const label = (name: string): void => void labels.set(name, code.length);
  const emit = (...bytes: number[]): void => void code.push(...bytes);
  const jump = (opcode: number, name: string): void => {
    const to = labels.get(name);
    if (to === undefined) throw new RangeError(`no label ${name} yet`);
    const distance = to - (code.length + 2);
    if (distance < -128) throw new RangeError(`${name} is too far`);
    emit(opcode, distance & 0xff);
  };

  emit(0xfa); //                             cli
  emit(0xb3, 0x61); //                       mov  bl, 'a'
  label("pass");
  // A changed WP bit flushes the TLB, as any system's changes of address space do: docs/decisions/0004.
  emit(0x0f, 0x20, 0xc0); //                 mov  eax, cr0
  emit(0x35, ...u32(WRITE_PROTECT)); //      xor  eax, WP
  emit(0x0f, 0x22, 0xc0); //                 mov  cr0, eax
  emit(0xbf, ...u32(FIRST_PAGE)); //         mov  edi, FIRST_PAGE
  emit(0x31, 0xc9); //                       xor  ecx, ecx
  label("page");
  // The number first: a page whose counter is not 0 has its number.
  emit(0x89, 0x4f, 0x04); //                 mov  [edi+4], ecx
  emit(0xff, 0x07); //                       inc  dword [edi]
  emit(0xb8, ...u32(delayRounds)); //        mov  eax, DELAY_ROUNDS
  label("delay");
  emit(0x48); //                             dec  eax
  jump(0x75, "delay"); //                    jnz  delay
  emit(0x81, 0xc7, ...u32(PAGE_BYTES)); //   add  edi, 4096
  emit(0x41); //                             inc  ecx
  emit(0x81, 0xf9, ...u32(pages)); //        cmp  ecx, PAGES
  jump(0x72, "page"); //                     jb   page
  emit(0x66, 0xba, 0xfd, 0x03); //           mov  dx, 0x3fd      COM1's line status
  label("busy");
  emit(0xec); //                             in   al, dx
  emit(0xa8, 0x20); //                       test al, 0x20       transmitter empty
  jump(0x74, "busy"); //                     jz   busy
  emit(0x66, 0xba, 0xf8, 0x03); //           mov  dx, 0x3f8      COM1
  emit(0x88, 0xd8); //                       mov  al, bl
  emit(0xee); //                             out  dx, al
  emit(0xfe, 0xc3); //                       inc  bl
  emit(0x80, 0xfb, 0x7b); //                 cmp  bl, 'z' + 1
  jump(0x75, "pass"); //                     jne  pass
  emit(0xb3, 0x61); //                       mov  bl, 'a'
  jump(0xeb, "pass"); //                     jmp  pass

  const end = LOAD_AT + HEADER_BYTES + code.length;
  const header = [
    MULTIBOOT_MAGIC,
    MULTIBOOT_ADDRESSES,
    -(MULTIBOOT_MAGIC + MULTIBOOT_ADDRESSES), // checksum: the three add up to 0
    LOAD_AT, // header_addr
    LOAD_AT, // load_addr
    end, // load_end_addr
    end, // bss_end_addr
    LOAD_AT + HEADER_BYTES, // entry_addr
  ];
  return new Uint8Array([...header.flatMap(u32), ...code]);
}

/** The ticker's image, in the cache. Needs no package and no network. */
export async function ensureTicker(): Promise<Ticker> {
  const image = tickerImage();
  const hash = createHash("sha256").update(image).digest("hex").slice(0, 12);
  const kernel = join(cacheDir(), `ticker-${hash}`);
  if (!(await exists(kernel))) {
    await mkdir(cacheDir(), { recursive: true });
    const making = await mkdtemp(join(cacheDir(), "making-ticker-"));
    try {
      await writeFile(join(making, "ticker"), image);
      await putInPlace(join(making, "ticker"), kernel);
    } finally {
      await rm(making, { recursive: true, force: true });
    }
  }
  return { kernel, firstPage: FIRST_PAGE, pages: PAGES };
}

export function tickerMachine(
  name: string,
  ticker: Ticker,
  options: { readonly memory?: string; readonly labels?: Readonly<Record<string, string>> } = {},
): MachineSpec {
  return machineSpec.parse({
    apiVersion: "godwit/v1",
    kind: "Machine",
    metadata: { name, labels: { "godwit.workload": "ticker", ...options.labels } },
    spec: { memory: options.memory ?? "32MiB", kernel: ticker.kernel },
  });
}

export interface TickerVerdict {
  readonly ok: boolean;
  readonly detail: string;
  /** Passes finished by the last page. */
  readonly passes: number;
}

/** Judges the walked pages: `memory` begins at `firstPage` and holds `pages` pages, dumped while the guest stood still. */
export function checkTicker(memory: Uint8Array, ticker: Pick<Ticker, "pages">): TickerVerdict {
  const bad = (detail: string): TickerVerdict => ({ ok: false, detail, passes: 0 });
  if (memory.byteLength !== ticker.pages * PAGE_BYTES) {
    return bad(`${memory.byteLength} bytes are not ${ticker.pages} pages`);
  }
  const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
  const counterOf = (page: number): number => view.getUint32(page * PAGE_BYTES, true);
  let step: number | null = null;
  for (let page = 0; page < ticker.pages; page += 1) {
    const counter = counterOf(page);
    const number = view.getUint32(page * PAGE_BYTES + 4, true);
    // A page the first pass has not reached holds nothing yet.
    if (number !== page && counter !== 0) return bad(`page ${page} holds the number of page ${number}`);
    if (page === 0 || counter === counterOf(page - 1)) continue;
    const jump = `page ${page} counts ${counter} after a page that counts ${counterOf(page - 1)}`;
    if (counter !== counterOf(page - 1) - 1) return bad(jump);
    if (step !== null) return bad(`${jump}, and page ${step} had stepped down already`);
    step = page;
  }
  const passes = counterOf(ticker.pages - 1);
  if (counterOf(0) === 0) return bad("the guest has not begun to walk");
  return { ok: true, detail: `${passes} passes, now at page ${step ?? 0}`, passes };
}
