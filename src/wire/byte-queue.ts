/**
 * Bytes as a socket gave them, read as one sequence. It holds what it is given and copies only across the border of
 * two chunks; how much may wait in it is the reader's rule.
 */
export class ByteQueue {
  #chunks: Uint8Array[] = [];
  /** Chunks before it are read; they are dropped together, because shifting one by one is quadratic. */
  #head = 0;
  #offset = 0;
  #bytes = 0;

  get byteLength(): number {
    return this.#bytes;
  }

  push(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.byteLength;
  }

  /** The next `count` bytes, still in the queue; undefined while there are fewer. */
  peek(count: number): Uint8Array | undefined {
    if (count > this.#bytes) return undefined;
    const first = this.#chunks[this.#head];
    if (first === undefined) return new Uint8Array(0);
    if (first.byteLength - this.#offset >= count) return first.subarray(this.#offset, this.#offset + count);
    const out = new Uint8Array(count);
    let filled = 0;
    let from = this.#offset;
    for (let at = this.#head; filled < count; at += 1) {
      const chunk = this.#chunks[at];
      if (chunk === undefined) return undefined;
      const part = chunk.subarray(from, from + count - filled);
      out.set(part, filled);
      filled += part.byteLength;
      from = 0;
    }
    return out;
  }

  skip(count: number): void {
    let rest = Math.min(count, this.#bytes);
    this.#bytes -= rest;
    while (rest > 0) {
      const left = (this.#chunks[this.#head]?.byteLength ?? 0) - this.#offset;
      if (rest < left) {
        this.#offset += rest;
        return;
      }
      rest -= left;
      this.#head += 1;
      this.#offset = 0;
    }
    if (this.#head > 64 || this.#head === this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
  }
}
