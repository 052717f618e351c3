/** As much of Redis's protocol (RESP2) as the lab's client speaks: commands out, replies in, in any pieces. */

export type Reply =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "error"; readonly text: string }
  | { readonly kind: "none" }
  | { readonly kind: "list"; readonly items: readonly Reply[] };

/** A server's answer to MGET of this many keys is the largest thing the client asks for. */
const LIST_MAX = 10_000;
const TEXT_MAX_BYTES = 1 << 20;
const BUFFER_MAX_BYTES = 64 << 20;

export function encodeCommand(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`;
}

/** Collects pieces and gives whole replies. @throws RangeError on anything that is not RESP or beyond its limits. */
export class ReplyReader {
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;

  push(piece: Buffer): Reply[] {
    this.#buffer = Buffer.concat([this.#buffer, piece]);
    if (this.#buffer.length > BUFFER_MAX_BYTES) throw new RangeError("a reply without end");
    const replies: Reply[] = [];
    this.#at = 0;
    let whole = 0;
    for (;;) {
      const reply = this.#read(true);
      if (reply === null) break;
      replies.push(reply);
      whole = this.#at;
    }
    this.#buffer = this.#buffer.subarray(whole);
    return replies;
  }

  #line(): string | null {
    const end = this.#buffer.indexOf("\r\n", this.#at);
    if (end === -1) return null;
    const line = this.#buffer.toString("utf8", this.#at, end);
    this.#at = end + 2;
    return line;
  }

  /** Null when the rest has not come yet. Only the outermost level may hold a list. */
  #read(outermost: boolean): Reply | null {
    const line = this.#line();
    if (line === null) return null;
    const rest = line.slice(1);
    switch (line[0]) {
      case "+":
      case ":":
        return { kind: "text", text: rest };
      case "-":
        return { kind: "error", text: rest };
      case "$":
        return this.#text(length(rest, TEXT_MAX_BYTES));
      case "*":
        if (!outermost) throw new RangeError("a list in a list");
        return this.#list(length(rest, LIST_MAX));
      default:
        throw new RangeError(`a reply cannot begin with ${JSON.stringify(line.slice(0, 20))}`);
    }
  }

  #text(bytes: number): Reply | null {
    if (bytes === -1) return { kind: "none" };
    const end = this.#at + bytes;
    if (this.#buffer.length < end + 2) return null;
    const text = this.#buffer.toString("utf8", this.#at, end);
    if (this.#buffer.toString("latin1", end, end + 2) !== "\r\n")
      throw new RangeError("a text of another length");
    this.#at = end + 2;
    return { kind: "text", text };
  }

  #list(count: number): Reply | null {
    if (count === -1) return { kind: "none" };
    const items: Reply[] = [];
    for (let index = 0; index < count; index += 1) {
      const item = this.#read(false);
      if (item === null) return null;
      items.push(item);
    }
    return { kind: "list", items };
  }
}

function length(text: string, max: number): number {
  if (!/^(-1|\d{1,9})$/.test(text) || Number(text) > max) throw new RangeError(`a length of ${text}`);
  return Number(text);
}
