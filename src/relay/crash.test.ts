/** Either relay killed with SIGKILL, in each phase: the other one ends with an error, and with it its QEMU's socket. */
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { corpus } from "../../test/fuzz/corpus.ts";
import { Arena, type FakeQemu, until } from "../../test/relay/hostile.ts";
import { startTicksOf } from "./alive.ts";
import { type RelayProcess, startRelay } from "./start.ts";

let arena: Arena;
let relays: RelayProcess[] = [];
beforeEach(() => {
  arena = new Arena();
});
afterEach(async () => {
  for (const relay of relays) await relay.kill();
  relays = [];
  arena.close();
});

const stream =
  corpus().find(({ reader, name }) => reader === "stream" && name.startsWith("post-copy"))?.bytes ??
  new Uint8Array();
/** In front of the first PART; in front of the end, with the package behind. */
const COPYING_BYTES = 9_000;
const FETCHING_BYTES = stream.length - 2_000;

const compressed = { codec: { level: 1 } } as const;

interface Started {
  readonly source: RelayProcess;
  readonly target: RelayProcess;
  /** Both QEMUs, as far as there are any in this phase. */
  readonly qemus: readonly Pick<FakeQemu, "isClosed" | "isConnected">[];
}

async function pair(sentBytes: number): Promise<Started> {
  const loading = await arena.qemuTarget();
  const target = await startRelay(arena.targetConfig(compressed), join(arena.dir, "t"));
  relays.push(target);
  const source = await startRelay(
    arena.sourceConfig(target.port ?? 0, { ...compressed, connections: 2 }),
    join(arena.dir, "s"),
  );
  relays.push(source);
  await phaseOf(source, "connected");
  if (sentBytes === 0) return { source, target, qemus: [] };
  const sending = arena.qemuSource();
  sending.socket().write(stream.subarray(0, sentBytes));
  await until("QEMU is given something", () => loading.given().length > 0);
  if (sentBytes > COPYING_BYTES) await phaseOf(target, "post-copy");
  return { source, target, qemus: [sending, loading] };
}

async function phaseOf(relay: RelayProcess, phase: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while ((await relay.status()).phase !== phase) {
    if (performance.now() > deadline) throw new Error(`never ${phase}`);
  }
}

const isGone = ({ handle }: RelayProcess): boolean => startTicksOf(handle.pid) !== handle.startTicks;

describe.each([
  ["connected", 0],
  ["copying", COPYING_BYTES],
  ["fetching", FETCHING_BYTES],
])("while %s", (_phase, sentBytes) => {
  it.each(["source", "target"] as const)("the %s's relay may be killed", async (which) => {
    const { source, target, qemus } = await pair(sentBytes);
    const [killed, other] = which === "source" ? [source, target] : [target, source];
    process.kill(killed.handle.pid, "SIGKILL");
    expect(await other.exited).toMatchObject({ phase: "failed", error: { code: "LINK_LOST" } });
    await until("its process is gone", () => isGone(other));
    for (const qemu of qemus) await until("QEMU's socket is closed", () => qemu.isClosed());
  });
});

describe("a source's relay whose target", () => {
  it("lets one of two connections in and then dies leaves no process behind", async () => {
    const port = await arena.listen((peer) => {
      peer.socket.once("data", () => peer.socket.pause());
    });
    const source = await startRelay(
      arena.sourceConfig(port, { ...compressed, connections: 2 }),
      join(arena.dir, "s"),
    );
    relays.push(source);
    await source.abort("enough");
    expect(await source.exited).toMatchObject({ phase: "failed", error: { code: "LINK_LOST" } });
    await until("its process is gone", () => isGone(source));
  });
});
