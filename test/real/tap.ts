/**
 * Stands between a QEMU and its relay and remembers the stream, so that a page which differs at the end can be laid to
 * the one who changed it: QEMU, when its stream already lacked the last version, or the relays.
 */
import { rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";

import { StreamReader } from "../../src/stream/records.ts";

const PAGE_BYTES = 4096;
const SHOWN_MAX = 4;

export class Tap {
  readonly #chunks: Buffer[] = [];
  #server: Server | undefined;

  /** The socket to use instead of `socket`. */
  async listen(socket: string): Promise<string> {
    const path = `${socket}.tap`;
    rmSync(path, { force: true });
    const server = createServer({ allowHalfOpen: true }, (near) => {
      const far = connect({ path: socket, allowHalfOpen: true });
      near.on("data", (bytes: Buffer) => this.#chunks.push(bytes));
      near.pipe(far);
      far.pipe(near);
      near.on("error", () => far.destroy()).on("close", () => far.destroy());
      far.on("error", () => near.destroy()).on("close", () => near.destroy());
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return path;
  }

  close(): void {
    this.#server?.close();
  }

  /** Which pages differ, and what the stream had for them. */
  compare(left: Buffer, arrived: Buffer): string {
    const sent = this.#lastVersions();
    const found: string[] = [];
    const counts = { all: 0, qemu: 0, relay: 0 };
    for (let at = 0; at < left.length; at += PAGE_BYTES) {
      const [one, other] = [left.subarray(at, at + PAGE_BYTES), arrived.subarray(at, at + PAGE_BYTES)];
      if (one.equals(other)) continue;
      const page = sent.get(at);
      const byQemu = page === undefined || other.equals(page);
      counts.all += 1;
      counts[byQemu ? "qemu" : "relay"] += 1;
      if (found.length >= SHOWN_MAX) continue;
      const counters = [one, page, other].map((each) => each?.readUInt32LE(0) ?? "-").join(" ");
      found.push(`page ${at / PAGE_BYTES} (first words left, sent, arrived: ${counters})`);
    }
    const { all, qemu, relay } = counts;
    return `${all} pages; of ${qemu} the stream had no newer version, ${relay} the relays changed: ${found.join("; ")}`;
  }

  #lastVersions(): ReadonlyMap<number, Buffer> {
    const reader = new StreamReader();
    const pages = new Map<number, Buffer>();
    for (const chunk of this.#chunks) {
      reader.push(chunk);
      for (const { record } of reader) {
        if (record.kind === "page" && record.block === "pc.ram")
          pages.set(record.offset, Buffer.from(record.bytes));
        if (record.kind === "zero" && record.block === "pc.ram")
          pages.set(record.offset, Buffer.alloc(PAGE_BYTES));
      }
    }
    return pages;
  }
}
