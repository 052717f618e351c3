/**
 * The target's side: frames in, a stream for QEMU out; the return path the other way. Decides when QEMU is connected to
 * (with the first bytes, never to try), and what the end of one side means for the other.
 */
import type { Socket } from "node:net";

import { PAGE_BYTES } from "../page/types.ts";
import { ReturnReader } from "../stream/return-path.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import { Decoder } from "../wire/decode.ts";
import type { Frame } from "../wire/frame.ts";
import { Codec, FrameKind } from "../wire/frame.ts";
import type { TargetConfig } from "./config.ts";
import { KeptStore, NO_OFFER } from "./kept-store.ts";
import { listen, type Listening } from "./link.ts";
import { openStore } from "./opened.ts";
import { connectQemu, writeAll } from "./qemu-socket.ts";
import { StreamRebuild } from "./rebuild.ts";
import type { Side, SideOptions, SideStatus } from "./side.ts";
import { Slots } from "./slots.ts";
import { PageCounts } from "./status.ts";
import { Wire } from "./wire.ts";

export class TargetSide implements Side {
  readonly ended: Promise<CodedError | undefined>;
  readonly #config: TargetConfig;
  readonly #options: SideOptions<TargetConfig>;
  readonly #end = Promise.withResolvers<CodedError | undefined>();
  readonly #counts = new PageCounts();
  readonly #slots = new Slots();
  readonly #returned = new ReturnReader();
  #listening: Listening | undefined;
  #wire: Wire | undefined;
  #rebuild: StreamRebuild | undefined;
  #kept: KeptStore | undefined;
  #qemu: Socket | undefined;
  #written: Promise<boolean> = Promise.resolve(true);
  #phase: SideStatus["phase"] = "waiting";
  #bytesIn = 0;
  #bytesOut = 0;
  #records = 0;
  #isOver = false;
  #qemuEnded = false;
  #streamEnded = false;
  /** QEMU said that it loaded everything. */
  #loaded = false;

  constructor(options: SideOptions<TargetConfig>) {
    this.#options = options;
    this.#config = options.config;
    this.ended = this.#end.promise;
  }

  get kept(): KeptStore | undefined {
    return this.#kept;
  }

  /** Settles when the wire is up; `port` is known as soon as `listening` was told. */
  async start(listening: () => void): Promise<void> {
    const { config, bucket, signal } = this.#options;
    if (config.encode && !config.recovery) this.#openStore();
    const offer = this.#kept?.offer ?? Promise.resolve(NO_OFFER);
    this.#listening = await listen(config, { slots: this.#slots, offer, signal });
    listening();
    const greeted = await this.#listening.greeted;
    const [first] = greeted;
    if (first === undefined) throw new RangeError("no connection");
    await this.#kept?.agree(first.ours, first.theirs);
    this.#phase = "connected";
    this.#wire = new Wire(
      { greeted, slots: this.#slots, peerName: config.peerName, level: undefined, bucket },
      {
        frame: (frame) => this.#frame(frame),
        peerEnded: () => {
          this.#streamEnded = true;
          void this.#written.then(() => this.#qemu?.end());
          // QEMU that never got a byte has nothing to answer.
          if (this.#qemu === undefined) this.#answersEnded();
        },
        room: () => this.#qemu?.resume(),
        done: () => this.#over(this.#incomplete()),
        failed: (error) => this.#over(error),
      },
    );
  }

  #openStore(): void {
    const { storeBytes, storeFile: file, bootFile } = this.#config;
    const opened = openStore(Math.floor(storeBytes / PAGE_BYTES));
    const { kernels, store } = opened;
    const decoder = new Decoder(kernels, store, 0);
    this.#kept = new KeptStore({ ...opened, file, bootFile, reset: () => store.reset(0n) });
    this.#rebuild = new StreamRebuild({
      kernels,
      decoder,
      store,
      postcopyRam: this.#config.capabilities.postcopyRam,
    });
  }

  async #frame(frame: Frame): Promise<void> {
    const bytes = this.#bytesFor(frame);
    this.#qemu ??= await this.#connect();
    // Decoding the next batch goes on while QEMU takes this one, but no further ahead.
    await this.#hasWritten();
    this.#bytesOut += bytes.byteLength;
    this.#written = writeAll(this.#qemu, bytes);
    if (frame.kind === FrameKind.raw) await this.#hasWritten();
    if (this.#rebuild?.isPostCopy === true) this.#phase = "post-copy";
  }

  async #hasWritten(): Promise<void> {
    if ((await this.#written) || this.#loaded) return;
    // The reason, if QEMU had one, has travelled before this as its answer.
    throw new CodedError("QEMU_CLOSED", { side: "target", when: "before it had loaded everything" });
  }

  #bytesFor(frame: Frame): Uint8Array {
    if (frame.kind === FrameKind.raw) return this.#rebuild?.raw(frame.payload) ?? frame.payload;
    if (frame.kind !== FrameKind.pages || this.#rebuild === undefined) {
      throw new CodedError("WIRE_GARBAGE", { problem: `a frame of kind ${frame.kind} from the source` });
    }
    const { section, pages } = this.#rebuild.pages(frame.payload);
    this.#counts.add(pages.counters, frame.codec !== Codec.none);
    this.#records += pages.count + pages.unchanged;
    return section;
  }

  async #connect(): Promise<Socket> {
    const socket = await connectQemu(this.#config.qemuSocket);
    if (this.#isOver) {
      socket.destroy();
      throw new CodedError("LINK_LOST", { why: "it ended while QEMU was connected to" });
    }
    this.#phase = "copying";
    socket.on("data", (bytes: Buffer) => this.#answered(bytes));
    socket.on("end", () => this.#answersEnded());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#answersEnded());
    return socket;
  }

  #answered(bytes: Uint8Array): void {
    this.#bytesIn += bytes.byteLength;
    this.#wire?.send("return", [bytes], false);
    if (this.#wire?.hasRoom === false) this.#qemu?.pause();
    try {
      this.#returned.push(bytes);
      for (const { message } of this.#returned) {
        if (message.kind === "shut" && message.value === 0) this.#loaded = true;
      }
    } catch {
      // Only this side's own QEMU is heard here; the source's judges what it says.
    }
  }

  #answersEnded(): void {
    if (this.#qemuEnded || this.#isOver) return;
    this.#qemuEnded = true;
    this.#wire?.end();
    if (this.#loaded || this.#streamEnded) return;
    // Without a return path QEMU says nothing when it is done; one that closes in between failed.
    if (this.#rebuild === undefined || !this.#rebuild.isComplete) {
      this.abort(new CodedError("QEMU_CLOSED", { side: "target", when: "in the middle of the stream" }));
    }
  }

  status(): SideStatus {
    const rebuild = this.#rebuild;
    const opaque = rebuild?.opaqueReason;
    const isPassing = rebuild === undefined || (opaque !== undefined && opaque.kind !== "tail");
    return {
      phase: this.#phase,
      port: this.#listening?.port ?? null,
      mode: isPassing ? { kind: "pass-through", reason: opaque?.kind ?? "asked for" } : { kind: "encoding" },
      qemuBytesIn: this.#bytesIn,
      qemuBytesOut: this.#bytesOut,
      wireBytesIn: this.#wire?.wireBytesIn ?? 0,
      wireBytesOut: this.#wire?.wireBytesOut ?? 0,
      framesSent: this.#wire?.frames ?? 0,
      roundTripMs: this.#wire?.roundTripMs ?? null,
      pageRecords: this.#records,
      pages: this.#counts.all,
      reportPages: this.#counts.report,
      missingPages: rebuild?.missingPages ?? null,
      wantedPages: 0,
      droppedPages: rebuild?.droppedPages ?? 0,
      refusedConnections: this.#listening?.refused() ?? 0,
      keptPages: this.#kept?.pages ?? 0,
      bootPages: this.#kept?.bootPages ?? 0,
      keptNote: this.#kept?.note ?? null,
    };
  }

  abort(error: CodedError): void {
    if (this.#wire === undefined) this.#over(error);
    else this.#wire.fail(toCodedError(error));
  }

  /** All that was sent is here, but it is no whole stream: a cancel, or a source that said nothing. */
  #incomplete(): CodedError | undefined {
    if (this.#loaded || (this.#rebuild?.isComplete ?? true)) return undefined;
    return new CodedError("QEMU_CLOSED", { side: "source", when: "before its stream was complete" });
  }

  #over(error: CodedError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#listening?.close();
    this.#phase = error === undefined ? "done" : "failed";
    if (error === undefined) this.#qemu?.end();
    else this.#qemu?.destroy();
    this.#slots.close();
    this.#end.resolve(error);
  }
}
