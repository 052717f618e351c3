/**
 * The wire as one thing: numbered frames over all connections, in both directions, with credits. Decides when more may
 * be sent, in which order frames are handed on, and when the other side counts as lost. What frames mean is left to
 * source.ts and target.ts.
 */
import { CodedError, toCodedError } from "../std/errors.ts";
import {
  abortFrame,
  abortOf,
  type Coded,
  creditFrame,
  creditOf,
  endFrame,
  type Frame,
  FRAME_HEADER_BYTES,
  FrameKind,
  pagesFrame,
  pingFrame,
  pongFrame,
  rawFrame,
  returnFrame,
} from "../wire/frame.ts";
import { Role } from "../wire/hello.ts";
import { FrameOrder } from "../wire/order.ts";
import type { TokenBucket } from "./bucket.ts";
import { Flight } from "./flight.ts";
import {
  CAP_QUEUE_MS,
  CLOSE_SKEW_MS,
  CODEC_QUEUE_BYTES,
  LAST_WORD_MS,
  PING_MS,
  PROMPT_CODEC_QUEUE_BYTES,
  PROMPT_FRAMES_MAX,
  SILENT_MS,
  WRITE_BYTES_MIN,
} from "./limits.ts";
import type { Greeted } from "./link.ts";
import type { Slots } from "./slots.ts";
import { type CodingMeasure, Stripe } from "./stripe.ts";
import { PieceCompressor, PieceDecompressor } from "./codec.ts";

/** What is cut off by an order (a command, a section's end) is sent without asking for room: so many frames at most. */
const CREDITS_KEPT = 6;
/** Of these, what a page that was asked for leaves to them. */
const CREDITS_LAST = 3;

export type DataKind = "raw" | "pages" | "return";
const MAKE: Readonly<Record<DataKind, (number: number, coded: Coded) => Frame>> = {
  raw: rawFrame,
  pages: pagesFrame,
  return: returnFrame,
};

/** A frame with the memory that its payload is in. */
interface HeldFrame extends Frame {
  readonly slot: Uint8Array | undefined;
}

export interface WireEvents {
  /** One at a time, in order; the next comes when this settles, and the payload is good until then. A rejection ends the wire. */
  frame(frame: Frame): Promise<void>;
  /** The other direction is finished, and all of it was handed on. */
  peerEnded(): void;
  /** There is room again; see `hasRoom`. */
  room(): void;
  /** A frame was coded and is about to be written. */
  coded?(measure: CodingMeasure): void;
  /** Both directions are finished. */
  done(): void;
  /** Told once; the wire is of no use then. */
  failed(error: CodedError): void;
}

export interface WireOptions {
  readonly greeted: readonly Greeted[];
  readonly slots: Slots;
  readonly peerName: string;
  /** At first. undefined: nothing will be compressed. */
  readonly level: number | undefined;
  readonly bucket: TokenBucket;
}

export class Wire {
  readonly #stripes: readonly Stripe[];
  readonly #events: WireEvents;
  readonly #peerName: string;
  readonly #slots: Slots;
  readonly #bucket: TokenBucket;
  readonly #order: FrameOrder<HeldFrame>;
  readonly #compressors: readonly (PieceCompressor | undefined)[];
  readonly #flight = new Flight();
  readonly #timer: NodeJS.Timeout;
  #number = 0;
  #acknowledged = 0;
  #credits: number;
  #applying = false;
  #sentEnd = false;
  #stripesEnded = 0;
  #endIsHere = false;
  #gotEnd = false;
  #appliedEnd = false;
  #state: "open" | "done" | "failed" = "open";

  constructor({ greeted, slots, peerName, level, bucket }: WireOptions, events: WireEvents) {
    const [first] = greeted;
    if (first === undefined) throw new RangeError("a wire has at least one connection");
    this.#events = events;
    this.#slots = slots;
    this.#bucket = bucket;
    this.#peerName = peerName;
    this.#credits = first.theirs.windowFrames;
    this.#order = new FrameOrder(first.ours.windowFrames);
    this.#compressors = greeted.map(() =>
      level === undefined ? undefined : new PieceCompressor(level, greeted.length),
    );
    this.#stripes = greeted.map(
      ({ socket, inlet, crc32 }, at) =>
        new Stripe(
          {
            socket,
            inlet,
            crc32,
            bucket,
            countsReceived: first.ours.role === Role.source,
            compressor: this.#compressors[at],
            decompressor: new PieceDecompressor(peerName),
          },
          {
            frame: (frame, slot) => this.#frame({ ...frame, slot }),
            coded: (number, measure) => this.#coded(number, measure),
            ended: () => this.#stripeEnded(),
            failed: (error) => this.fail(error),
          },
        ),
    );
    this.#timer = setInterval(() => this.#tick(), PING_MS);
    for (const stripe of this.#stripes) stripe.start();
    this.#ping();
  }

  /** Whether a frame may be sent now; if not, `room` is told later. */
  get hasRoom(): boolean {
    const queued = this.#stripes.reduce((sum, { queuedBytes }) => sum + queuedBytes, 0);
    const queueMax = this.#flight.prompt ? PROMPT_CODEC_QUEUE_BYTES : CODEC_QUEUE_BYTES;
    const capMax = this.#capBytes;
    return (
      this.#credits > CREDITS_KEPT &&
      (!this.#flight.prompt || this.framesUnderWay < PROMPT_FRAMES_MAX) &&
      queued < Math.min(queueMax, capMax) &&
      this.#flight.unackedBytes < capMax &&
      this.#flight.hasRoom
    );
  }
  get #capBytes(): number {
    const rate = this.#bucket.bytesPerSecond;
    return rate === null ? Infinity : Math.max(WRITE_BYTES_MIN, (rate * CAP_QUEUE_MS) / 1000);
  }
  /** Whether one may be sent that does not wait for its turn. */
  get hasUrgentRoom(): boolean {
    return this.#credits > CREDITS_LAST;
  }
  /** What the link carried since the last time; asks for the next one. */
  takePace(): ReturnType<Flight["takePace"]> {
    const [first] = this.#stripes;
    if (first !== undefined && this.#state === "open") this.#pingOne(first);
    return this.#flight.takePace(performance.now());
  }
  /** How large a frame may be so that several are under way at a time. */
  get stepBytes(): number {
    return this.#flight.limitBytes / 4;
  }
  /** Whether somebody waits for what is sent: little may be in front of it then. */
  set isPrompt(isPrompt: boolean) {
    this.#flight.prompt = isPrompt;
  }
  get framesUnderWay(): number {
    return this.#number - this.#acknowledged;
  }
  get wireBytesIn(): number {
    return this.#stripes.reduce((sum, { wireBytesIn }) => sum + wireBytesIn, 0);
  }
  get wireBytesOut(): number {
    return this.#stripes.reduce((sum, { wireBytesOut }) => sum + wireBytesOut, 0);
  }
  get frames(): number {
    return this.#number;
  }
  get roundTripMs(): number | null {
    return this.#flight.roundTripMs;
  }

  /** For what is compressed from here on. */
  setLevel(level: number): void {
    for (const compressor of this.#compressors) compressor?.setLevel(level);
  }

  /**
   * Sends a copy of these bytes. In any case while credits last: whoever ends a batch for its order does not ask for room.
   */
  send(kind: DataKind, parts: readonly Uint8Array[], compress: boolean): void {
    const slot = this.#slots.take();
    let at = FRAME_HEADER_BYTES;
    for (const part of parts) {
      slot.set(part, at);
      at += part.byteLength;
    }
    this.sendSlot(kind, slot, at - FRAME_HEADER_BYTES, compress);
  }

  /** The payload lies in the slot already, behind room for a header. */
  sendSlot(kind: DataKind, slot: Uint8Array, bytes: number, compress: boolean): void {
    if (this.#state !== "open") return;
    this.#number += 1;
    this.#credits -= 1;
    const number = this.#number;
    const make = MAKE[kind];
    this.#leastBusy().send({ number, slot, bytes, compress, make: (coded) => make(number, coded) });
  }

  end(): void {
    if (this.#sentEnd || this.#state !== "open") return;
    this.#sentEnd = true;
    this.#number += 1;
    const number = this.#number;
    const slot = this.#slots.take();
    this.#leastBusy().send({ number, slot, bytes: 0, compress: false, make: () => endFrame(number) });
    this.#settle();
  }

  /** Says why to the other side, and ends at once. */
  fail(error: CodedError, peerKnows = false): void {
    if (this.#state !== "open") return;
    this.#state = "failed";
    clearInterval(this.#timer);
    this.#events.failed(error);
    const [stripe] = this.#stripes;
    if (!peerKnows) stripe?.sendNow(abortFrame(error.code, error.message));
    const destroy = (): void => {
      for (const each of this.#stripes) each.destroy();
    };
    if (peerKnows) return destroy();
    void this.#sayLast(destroy);
  }

  async #sayLast(destroy: () => void): Promise<void> {
    const timer = setTimeout(destroy, LAST_WORD_MS);
    await Promise.all(this.#stripes.map((each) => each.flushed()));
    clearTimeout(timer);
    setTimeout(destroy, LAST_WORD_MS);
    // Closed, not destroyed: unread input would turn the last word into a reset.
    await Promise.all(this.#stripes.map((each) => each.close()));
  }

  #leastBusy(): Stripe {
    const [first, ...others] = this.#stripes;
    if (first === undefined) throw new RangeError("a wire has at least one connection");
    return others.reduce((best, each) => (each.queuedBytes < best.queuedBytes ? each : best), first);
  }

  #coded(number: number, measure: CodingMeasure): void {
    if (number > this.#acknowledged) this.#flight.sent(number, measure.wireBytes, performance.now());
    this.#events.coded?.(measure);
    this.#tellRoom();
  }

  #tellRoom(): void {
    if (this.#state === "open" && (this.hasRoom || (this.#flight.prompt && this.hasUrgentRoom))) {
      this.#events.room();
    }
  }

  #frame(frame: HeldFrame): void {
    if (this.#state !== "open") return;
    switch (frame.kind) {
      case FrameKind.credit:
        return this.#credit(creditOf(frame));
      case FrameKind.ping:
        return this.#stripes[0]?.sendNow(pongFrame(frame.payload.slice()));
      case FrameKind.pong:
        return this.#pong(frame);
      case FrameKind.abort: {
        const { code, sentence } = abortOf(frame);
        const error = new CodedError("PEER_REFUSED", {
          host: this.#peerName,
          why: `${code}: ${sentence}`,
          peerCode: code,
        });
        return this.fail(error, true);
      }
      default:
    }
    if (this.#gotEnd) throw new CodedError("WIRE_GARBAGE", { problem: "a frame behind the end" });
    this.#order.put(frame);
    if (frame.kind === FrameKind.end) this.#endIsHere = true;
    void this.#apply();
  }

  #credit(frames: number): void {
    const now = performance.now();
    if (frames < 1 || this.#acknowledged + frames > this.#number) {
      throw new CodedError("WIRE_GARBAGE", { problem: "a credit for frames that were not sent" });
    }
    for (let count = 0; count < frames; count += 1) {
      this.#acknowledged += 1;
      this.#flight.acknowledged(this.#acknowledged, now);
    }
    this.#credits += frames;
    this.#tellRoom();
  }

  async #apply(): Promise<void> {
    if (this.#applying) return;
    this.#applying = true;
    try {
      for (;;) {
        const frame = this.#order.take();
        if (frame === undefined || this.#state !== "open") break;
        if (frame.kind === FrameKind.end) {
          this.#gotEnd = true;
          this.#appliedEnd = true;
          this.#events.peerEnded();
          this.#settle();
          continue;
        }
        await this.#events.frame(frame);
        if (frame.slot !== undefined) this.#slots.give(frame.slot);
        this.#stripes[0]?.sendNow(creditFrame(1));
      }
    } catch (error) {
      this.fail(toCodedError(error));
    } finally {
      this.#applying = false;
    }
  }

  #settle(): void {
    if (!this.#sentEnd || !this.#appliedEnd || this.#state !== "open") return;
    this.#state = "done";
    clearInterval(this.#timer);
    void Promise.all(this.#stripes.map((stripe) => stripe.close())).then(() => this.#events.done());
  }

  #stripeEnded(): void {
    if (this.#state !== "open") return;
    this.#stripesEnded += 1;
    const lost = (): void => {
      // With the end among what is here all of it is worth waiting for; without it nothing will complete it.
      const mayComplete = this.#endIsHere || this.#stripesEnded < this.#stripes.length;
      if (mayComplete && (this.#order.waiting > 0 || this.#applying)) {
        return void setTimeout(lost, CLOSE_SKEW_MS);
      }
      this.fail(new CodedError("LINK_LOST", { why: "it was closed before the end" }), true);
    };
    if (this.#stripes.length === 1 && !this.#applying && this.#order.waiting === 0) lost();
    else setTimeout(lost, CLOSE_SKEW_MS);
  }

  #tick(): void {
    const now = performance.now();
    for (const stripe of this.#stripes) {
      if (!stripe.isSilent(now)) continue;
      const error = new CodedError("PEER_STALLED", { host: this.#peerName, waited: `${SILENT_MS / 1000} s` });
      return this.fail(error, true);
    }
    this.#ping();
  }

  #ping(): void {
    for (const stripe of this.#stripes) this.#pingOne(stripe);
  }

  #pingOne(stripe: Stripe): void {
    const token = new Uint8Array(8);
    new DataView(token.buffer).setFloat64(0, performance.now());
    stripe.sendNow(pingFrame(token));
  }

  #pong({ payload }: Frame): void {
    const sentAt = new DataView(payload.buffer, payload.byteOffset, 8).getFloat64(0);
    const ms = performance.now() - sentAt;
    if (ms >= 0) this.#flight.roundTrip(Math.max(1, ms));
  }
}
