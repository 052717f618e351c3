/**
 * The source's side: QEMU's stream in, frames out; the return path the other way. Decides when a batch need not wait any
 * longer, and what the end of one side means for the other.
 */
import type { Socket } from "node:net";

import { PAGE_BYTES } from "../page/types.ts";
import { encodeReturn, FullForm, ReturnReader } from "../stream/return-path.ts";
import { CodedError, toCodedError } from "../std/errors.ts";
import { batchParts, Encoder, ENCODER_BYTES } from "../wire/encode.ts";
import type { Frame } from "../wire/frame.ts";
import { FrameKind } from "../wire/frame.ts";
import { Phase } from "../wire/batch.ts";
import { PageStore } from "../wire/store.ts";
import type { SourceConfig } from "./config.ts";
import { StreamEncoding } from "./encoding.ts";
import { Intake, INTAKE_BYTES } from "./intake.ts";
import { openKernels } from "./kernels.ts";
import { BATCH_WAIT_MS, RAW_FRAME_BYTES } from "./limits.ts";
import { dial } from "./link.ts";
import { acceptQemu, writeAll } from "./qemu-socket.ts";
import { levelOf, type Side, type SideOptions, type SideStatus } from "./side.ts";
import { PageCounts } from "./status.ts";
import { Wire } from "./wire.ts";

export class SourceSide implements Side {
  readonly ended: Promise<CodedError | undefined>;
  readonly #config: SourceConfig;
  readonly #end = Promise.withResolvers<CodedError | undefined>();
  readonly #options: SideOptions<SourceConfig>;
  readonly #level: number | undefined;
  readonly #counts = new PageCounts();
  readonly #returned = new ReturnReader();
  readonly #fullForm = new FullForm();
  #wire: Wire | undefined;
  #encoding: StreamEncoding | undefined;
  #intake: Intake | undefined;
  #listener: { close(): void } | undefined;
  #qemu: Socket | undefined;
  #flushTimer: NodeJS.Timeout | undefined;
  #phase: SideStatus["phase"] = "waiting";
  #bytesOut = 0;
  #isOver = false;
  #qemuEnded = false;

  constructor(options: SideOptions<SourceConfig>) {
    this.#options = options;
    this.#config = options.config;
    this.#level = levelOf(options.config);
    this.ended = this.#end.promise;
  }

  async start(): Promise<void> {
    const { config, bucket, signal } = this.#options;
    const greeted = await dial(config, signal);
    const [first] = greeted;
    if (first === undefined) throw new RangeError("no connection");
    this.#prepare(Math.min(first.ours.storeSlots, first.theirs.storeSlots));
    this.#wire = new Wire(
      { greeted, peerName: config.peerName, level: this.#level, bucket },
      {
        frame: (frame) => this.#frame(frame),
        peerEnded: () => this.#qemu?.end(),
        room: () => this.#intake?.continue(),
        done: () => this.#over(undefined),
        failed: (error) => this.#over(error),
      },
    );
    this.#phase = "connected";
    this.#intake?.continue();
  }

  #prepare(slots: number): void {
    const { encode, recovery, capabilities, qemuSocket } = this.#config;
    const looks = encode && !recovery;
    const intakePages = INTAKE_BYTES / PAGE_BYTES;
    const encoderPages = ENCODER_BYTES / PAGE_BYTES;
    const kernels = openKernels({ pages: intakePages + (looks ? encoderPages + 2 + slots : 0) });
    if (looks) {
      const base = (intakePages + encoderPages + 2) * PAGE_BYTES;
      const store = new PageStore(kernels, { base, slots });
      const encoder = new Encoder(kernels, store, INTAKE_BYTES);
      const staging = INTAKE_BYTES + ENCODER_BYTES;
      const { postcopyRam } = capabilities;
      this.#encoding = new StreamEncoding(
        {
          bytes: kernels.bytes,
          copyPage: (from, to) => kernels.copy(from, to),
          encoder,
          store,
          staging,
          zeroPage: staging + PAGE_BYTES,
          postcopyRam,
        },
        {
          raw: (bytes) => this.#wire?.send("raw", [bytes], this.#level !== undefined),
          pages: (batch) => {
            const coded = this.#level !== undefined;
            this.#counts.add(batch.counters, coded);
            this.#wire?.send("pages", batchParts(batch), coded);
          },
          hasRoom: () => this.#wire?.hasRoom ?? false,
        },
      );
    }
    const intake = new Intake(
      kernels.bytes,
      0,
      (from, to) => this.#take(kernels.bytes, from, to),
      () => this.#wire?.hasRoom ?? false,
    );
    this.#intake = intake;
    this.#listener = acceptQemu(qemuSocket, intake.onread, (socket) => this.#accept(socket));
  }

  #accept(socket: Socket): void {
    if (this.#isOver) return void socket.destroy();
    this.#qemu = socket;
    this.#phase = "copying";
    socket.on("end", () => this.#streamEnded());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#streamEnded());
    this.#intake?.attach(socket);
    this.#intake?.continue();
  }

  #take(bytes: Uint8Array, from: number, to: number): number {
    try {
      if (this.#encoding === undefined) {
        for (let at = from; at < to; at += RAW_FRAME_BYTES) {
          const piece = bytes.slice(at, Math.min(to, at + RAW_FRAME_BYTES));
          this.#wire?.send("raw", [piece], this.#level !== undefined);
        }
        return to;
      }
      const at = this.#encoding.take(from, to);
      if (this.#encoding.phase === Phase.postCopy) this.#phase = "post-copy";
      if (this.#encoding.waitingPages > 0) {
        this.#flushTimer ??= setTimeout(() => {
          this.#flushTimer = undefined;
          this.#encoding?.flush();
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
    // What QEMU left unfinished is told to the target by the end of its stream, just as without a relay.
    this.#wire?.end();
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
    this.#listener?.close();
    this.#phase = error === undefined ? "done" : "failed";
    if (error === undefined) this.#qemu?.end();
    else this.#qemu?.destroy();
    this.#end.resolve(error ?? this.#incomplete());
  }

  /** Both QEMUs closed, which is how a cancel looks from here. */
  #incomplete(): CodedError | undefined {
    if (this.#encoding?.isComplete ?? true) return undefined;
    this.#phase = "failed";
    return new CodedError("QEMU_CLOSED", { side: "source", when: "before its stream was complete" });
  }
}
