/**
 * The source's side: QEMU's stream in, frames out; the return path the other way. Decides when a batch need not wait any
 * longer, and what the end of one side means for the other.
 */
import type { Socket } from "node:net";

import { PAGE_BYTES } from "../page/types.ts";
import { encodeReturn, FullForm, ReturnReader } from "../stream/return-path.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import { LEVEL } from "../wire/choose.ts";
import { batchParts, ENCODER_BYTES } from "../wire/encode.ts";
import type { Frame } from "../wire/frame.ts";
import { FrameKind } from "../wire/frame.ts";
import { Phase } from "../wire/batch.ts";
import { mayBeInsecure, type RelayTarget, type SourceConfig } from "./config.ts";
import { StreamEncoding } from "./encoding.ts";
import { Intake, INTAKE_BYTES } from "./intake.ts";
import { SlotIntake } from "./slot-intake.ts";
import { KeptStore, NO_OFFER } from "./kept-store.ts";
import { type Opened, openStore } from "./opened.ts";
import { Backlog } from "./backlog.ts";
import { IdleCores } from "../std/idle-cores.ts";
import { LevelControl } from "./level-control.ts";
import { BATCH_WAIT_MS, CALLED_TIMEOUT_MS, LEVEL_MS, PROMPT_MS } from "./limits.ts";
import { dial } from "./link.ts";
import { acceptQemu, writeAll } from "./qemu-socket.ts";
import { firstLevelOf, levelOf, type Side, type SideOptions, type SideStatus } from "./side.ts";
import { Slots } from "./slots.ts";
import { PageCounts } from "./status.ts";
import { Wire } from "./wire.ts";

export class SourceSide implements Side {
  readonly ended: Promise<CodedError | undefined>;
  readonly #config: SourceConfig;
  readonly #target = Promise.withResolvers<RelayTarget>();
  readonly #end = Promise.withResolvers<CodedError | undefined>();
  readonly #options: SideOptions<SourceConfig>;
  readonly #level: number | undefined;
  readonly #counts = new PageCounts();
  readonly #slots = new Slots();
  readonly #returned = new ReturnReader();
  readonly #fullForm = new FullForm();
  #wire: Wire | undefined;
  #encoding: StreamEncoding | undefined;
  #stored: Stored | undefined;
  #intake: Intake | SlotIntake | undefined;
  #listener: { close(): void } | undefined;
  #calledTimer: NodeJS.Timeout | undefined;
  #qemu: Socket | undefined;
  #flushTimer: NodeJS.Timeout | undefined;
  #levelTimer: NodeJS.Timeout | undefined;
  #promptTimer: NodeJS.Timeout | undefined;
  /** Whether what is sent now is compressed. */
  #compresses: boolean;
  #phase: SideStatus["phase"] = "waiting";
  #bytesOut = 0;
  #isOver = false;
  #qemuEnded = false;

  constructor(options: SideOptions<SourceConfig>) {
    this.#options = options;
    this.#config = options.config;
    this.#level = levelOf(options.config);
    this.#compresses = this.#level !== undefined;
    this.ended = this.#end.promise;
    if (options.config.target !== undefined) this.dial(options.config.target);
  }

  /** @throws CodedError USAGE */
  dial(target: RelayTarget): void {
    if (this.#config.insecure && !mayBeInsecure(target))
      throw new CodedError("USAGE", { problem: "insecure is for loopback addresses only" });
    this.#target.resolve(target);
  }

  get kept(): KeptStore | undefined {
    return this.#stored?.kept;
  }

  async start(): Promise<void> {
    const { config, bucket, signal } = this.#options;
    if (config.encode && !config.recovery) this.#stored = storedOf(config);
    const offer = this.kept?.offer ?? Promise.resolve(NO_OFFER);
    const greeted = await dial(config, await this.#whereTo(signal), { slots: this.#slots, offer, signal });
    const [first] = greeted;
    if (first === undefined) throw new RangeError("no connection");
    await this.kept?.agree(first.ours, first.theirs);
    this.#prepare();
    const control =
      config.codec === "auto"
        ? new LevelControl(firstLevelOf(config), config.connections, performance.now())
        : undefined;
    this.#wire = new Wire(
      { greeted, slots: this.#slots, peerName: config.peerName, level: this.#level, bucket },
      {
        frame: (frame) => this.#frame(frame),
        peerEnded: () => this.#qemu?.end(),
        room: () => this.#room(),
        done: () => this.#over(undefined),
        failed: (error) => this.#over(error),
        coded: (measure) => control?.coded(measure, performance.now()),
      },
    );
    if (control !== undefined) this.#choose(control);
    this.#phase = "connected";
    this.#intake?.continue();
  }

  async #whereTo(signal: AbortSignal): Promise<RelayTarget> {
    const never = Promise.withResolvers<never>();
    const stop = (): void => never.reject(signal.reason);
    const forgotten = new CodedError("LINK_LOST", { why: "nobody said where to" });
    const timer = setTimeout(() => never.reject(forgotten), CALLED_TIMEOUT_MS);
    signal.addEventListener("abort", stop);
    try {
      return await Promise.race([this.#target.promise, never.promise]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    }
  }

  #choose(control: LevelControl): void {
    const idle = new IdleCores();
    this.#levelTimer = setInterval(() => {
      const wire = this.#wire;
      if (wire === undefined) return;
      const before = control.current;
      const capBytesPerSecond = this.#options.bucket.bytesPerSecond;
      const name = control.tick({ ...wire.takePace(), capBytesPerSecond }, idle.take(), performance.now());
      if (name === before) return;
      this.#compresses = name !== "off";
      if (this.#compresses) wire.setLevel(LEVEL[name].level);
    }, LEVEL_MS);
  }

  #prepare(): void {
    const hasRoom = (): boolean => this.#wire?.hasRoom ?? false;
    const intake =
      this.#stored === undefined
        ? new SlotIntake(this.#slots, (slot, bytes) => this.#pass(slot, bytes), hasRoom)
        : this.#encodingIntake(this.#stored, hasRoom);
    this.#intake = intake;
    this.#listener = acceptQemu(this.#config.qemuSocket, intake.onread, (socket) => this.#accept(socket));
    this.#calledTimer = setTimeout(
      () => this.abort(new CodedError("QEMU_CLOSED", { side: "source", when: "before it was opened" })),
      CALLED_TIMEOUT_MS,
    );
  }

  #encodingIntake({ kernels, store, encoder }: Stored, hasRoom: () => boolean): Intake {
    const filledPage = INTAKE_BYTES + ENCODER_BYTES;
    const zeroPage = filledPage + PAGE_BYTES;
    const copyPage = (from: number, to: number): void => kernels.copy(from, to);
    const encoding = new StreamEncoding(
      {
        bytes: kernels.bytes,
        encoder,
        store,
        filledPage,
        zeroPage,
        backlog: new Backlog({ copyPage, base: zeroPage + PAGE_BYTES, zeroPage }),
        postcopyRam: this.#config.capabilities.postcopyRam,
      },
      {
        raw: (parts) => this.#wire?.send("raw", parts, this.#compresses),
        pages: (batch) => {
          const coded = this.#compresses;
          this.#counts.add(batch.counters, coded);
          this.#wire?.send("pages", batchParts(batch), coded);
        },
        hasRoom,
        hasUrgentRoom: () => this.#wire?.hasUrgentRoom ?? false,
        stepBytes: () => this.#wire?.stepBytes ?? 0,
      },
    );
    this.#encoding = encoding;
    return new Intake(
      kernels.bytes,
      0,
      (from, to) => this.#take(encoding, from, to),
      () => encoding.wantsMore,
    );
  }

  /** Bytes that nobody looks at. */
  #pass(slot: Uint8Array, bytes: number): void {
    this.#wire?.sendSlot("raw", slot, bytes, this.#compresses);
  }

  #accept(socket: Socket): void {
    if (this.#isOver) return void socket.destroy();
    clearTimeout(this.#calledTimer);
    this.#qemu = socket;
    this.#phase = "copying";
    socket.on("end", () => this.#streamEnded());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#streamEnded());
    this.#intake?.attach(socket);
    this.#intake?.continue();
  }

  #take(encoding: StreamEncoding, from: number, to: number): number {
    try {
      const at = encoding.take(from, to);
      if (encoding.phase === Phase.postCopy && this.#phase === "copying") {
        this.#phase = "post-copy";
        this.#expectRequests();
      }
      if (encoding.waitingPages > 0) {
        this.#flushTimer ??= setTimeout(() => {
          this.#flushTimer = undefined;
          encoding.flush();
        }, BATCH_WAIT_MS);
      }
      return at;
    } catch (error) {
      this.abort(toCodedError(error));
      return to;
    }
  }

  #streamEnded(): void {
    if (this.#qemuEnded || this.#isOver) return;
    this.#qemuEnded = true;
    this.#encoding?.flush();
    this.#room();
  }

  #expectRequests(): void {
    if (this.#wire === undefined) return;
    this.#wire.isPrompt = true;
    clearTimeout(this.#promptTimer);
    this.#promptTimer = setTimeout(() => {
      if (this.#wire !== undefined) this.#wire.isPrompt = false;
      this.#room();
    }, PROMPT_MS);
  }

  #room(): void {
    try {
      this.#encoding?.pump();
      this.#intake?.continue();
    } catch (error) {
      return this.abort(toCodedError(error));
    }
    // What QEMU left unfinished is told to the target by the end of its stream, just as without a relay.
    if (this.#qemuEnded && (this.#encoding?.isIdle ?? true)) this.#wire?.end();
  }

  async #frame(frame: Frame): Promise<void> {
    if (frame.kind !== FrameKind.return) {
      throw new CodedError("WIRE_GARBAGE", { problem: `a frame of kind ${frame.kind} from the target` });
    }
    const qemu = this.#qemu;
    if (qemu === undefined)
      throw new CodedError("WIRE_GARBAGE", { problem: "an answer before the question" });
    for (const bytes of this.#answers(frame.payload)) {
      this.#bytesOut += bytes.byteLength;
      // QEMU that is gone ends its stream as well; nothing more is to be said here.
      if (!(await writeAll(qemu, bytes))) return;
    }
  }

  /** Requests name their block towards QEMU, so that others may be put in between. */
  *#answers(payload: Uint8Array): Generator<Uint8Array> {
    const encoding = this.#encoding;
    if (encoding === undefined || encoding.mode.kind === "pass-through") {
      yield payload;
      return;
    }
    this.#returned.push(payload);
    for (const { message } of this.#returned) {
      if (message.kind !== "request-pages") {
        yield encodeReturn(message);
        continue;
      }
      const full = this.#fullForm.rewrite(message);
      if (full.kind === "request-pages" && full.block !== undefined) {
        encoding.want(full.block, full.start, full.length);
        this.#expectRequests();
        // The page may be in QEMU's socket, behind others.
        this.#room();
      }
      yield encodeReturn(full);
    }
  }

  status(): SideStatus {
    const encoding = this.#encoding;
    return {
      phase: this.#phase,
      port: null,
      mode: encoding?.mode ?? { kind: "pass-through", reason: "asked for" },
      qemuBytesIn: this.#intake?.received ?? 0,
      qemuBytesOut: this.#bytesOut,
      wireBytesIn: this.#wire?.wireBytesIn ?? 0,
      wireBytesOut: this.#wire?.wireBytesOut ?? 0,
      framesSent: this.#wire?.frames ?? 0,
      roundTripMs: this.#wire?.roundTripMs ?? null,
      pageRecords: encoding?.pages ?? 0,
      pages: this.#counts.all,
      reportPages: this.#counts.report,
      missingPages: null,
      wantedPages: encoding?.wantedPages ?? 0,
      droppedPages: 0,
      refusedConnections: 0,
      keptPages: this.kept?.pages ?? 0,
      bootPages: this.kept?.bootPages ?? 0,
      keptNote: this.kept?.note ?? null,
    };
  }

  abort(error: CodedError): void {
    if (this.#wire === undefined) this.#over(error);
    else this.#wire.fail(error);
  }

  #over(error: CodedError | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#flushTimer);
    clearInterval(this.#levelTimer);
    clearTimeout(this.#promptTimer);
    this.#listener?.close();
    clearTimeout(this.#calledTimer);
    this.#phase = error === undefined ? "done" : "failed";
    if (error === undefined) this.#qemu?.end();
    else this.#qemu?.destroy();
    this.#slots.close();
    this.#end.resolve(error ?? this.#incomplete());
  }

  /** Both QEMUs closed, which is how a cancel looks from here. */
  #incomplete(): CodedError | undefined {
    if (this.#encoding?.isComplete ?? true) return undefined;
    this.#phase = "failed";
    return new CodedError("QEMU_CLOSED", { side: "source", when: "before its stream was complete" });
  }
}

/** What is there before the other side is: reading what was kept takes as long as finding it. */
interface Stored extends Opened {
  readonly kept: KeptStore;
}

function storedOf({ storeBytes, storeFile: file, bootFile }: SourceConfig): Stored {
  const opened = openStore(Math.floor(storeBytes / PAGE_BYTES));
  const { encoder } = opened;
  const kept = new KeptStore({
    ...opened,
    file,
    bootFile,
    filled: (first, end) => encoder.remember(first, end),
    reset: () => encoder.reset(0n),
  });
  return { ...opened, kept };
}
