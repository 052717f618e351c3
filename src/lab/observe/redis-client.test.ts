/** The writer and the reader-back as processes, against a server in the test's hands. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { RECORD_BYTES } from "./records.ts";
import { parseWritten } from "./writes.ts";

const RATE = 200;
const at = (file: string): string => join(import.meta.dirname, file);

let folder = "";
let store: Map<string, string>;
let sockets: Socket[];
let server: Server;
let client: ChildProcess | undefined;
/** Whether a command is answered; one that is not is not carried out either. */
let serving: boolean;
let held: (() => void)[];

/** Commands as the client sends them: arrays of texts without line breaks. */
function serve(socket: Socket): void {
  sockets.push(socket);
  socket.on("error", () => undefined);
  let text = "";
  socket.on("data", (piece) => {
    text += piece.toString();
    for (;;) {
      const lines = text.split("\r\n");
      const length = 1 + 2 * Number(lines[0]?.slice(1));
      if (text === "" || lines.length <= length) return;
      const words = lines.slice(1, length).filter((_, index) => index % 2 === 1);
      text = lines.slice(length).join("\r\n");
      const answer = (): void => {
        socket.write(carryOut(words));
      };
      if (serving) answer();
      else held.push(answer);
    }
  });
}

function carryOut([verb, ...words]: readonly string[]): string {
  if (verb === "SET") {
    store.set(words[0] ?? "", words[1] ?? "");
    return "+OK\r\n";
  }
  const items = words.map((key) => store.get(key));
  const texts = items.map((item) => (item === undefined ? "$-1\r\n" : `$${item.length}\r\n${item}\r\n`));
  return `*${items.length}\r\n${texts.join("")}`;
}

const port = (): string => String((server.address() as AddressInfo).port);
const log = (): string => join(folder, "writes.bin");
const written = () => parseWritten(readFileSync(log()), RECORD_BYTES);

function startClient(stallMs = 60_000): ChildProcess {
  client = spawn(
    process.execPath,
    [at("redis-client.ts"), log(), String(RATE), String(stallMs), port(), "127.0.0.1"],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  return client;
}

/** Ends the client as its owner does, and gives its own counts. */
async function end(
  child: ChildProcess,
): Promise<{ acknowledged: number; unanswered: number; connections: number }> {
  let said = "";
  child.stdout?.on("data", (piece: Buffer) => (said += piece.toString()));
  child.kill("SIGTERM");
  await once(child, "close");
  return JSON.parse(said.trim().split("\n").at(-1) ?? "") as Awaited<ReturnType<typeof end>>;
}

async function readBack(): Promise<unknown> {
  const { stdout } = await promisify(execFile)(process.execPath, [
    at("redis-check.ts"),
    log(),
    "5000",
    port(),
    "127.0.0.1",
  ]);
  return JSON.parse(stdout);
}

const until = (condition: () => boolean) =>
  expect.poll(condition, { timeout: 10_000, interval: 5 }).toBe(true);

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "godwit-redis-"));
  store = new Map();
  sockets = [];
  held = [];
  serving = true;
  server = createServer(serve).listen(0, "127.0.0.1");
  await once(server, "listening");
});

afterEach(async () => {
  client?.kill("SIGKILL");
  for (const socket of sockets) socket.destroy();
  server.close();
  await once(server, "close");
  rmSync(folder, { recursive: true, force: true });
});

describe("the writing client", () => {
  it("logs every acknowledged write, each readable later", async () => {
    const child = startClient();
    await until(() => store.size >= 100);
    const counts = await end(child);
    expect(written().length).toBe(counts.acknowledged);
    // The last answers may still have been on their way.
    expect(counts.acknowledged).toBeGreaterThan(50);
    expect(counts.acknowledged + counts.unanswered).toBeLessThanOrEqual(store.size);
    expect(await readBack()).toEqual({ acknowledged: counts.acknowledged, lost: 0, firstLost: null });
  });

  it("keeps to its schedule while nobody answers: what was due then is counted from then", async () => {
    const child = startClient();
    await until(() => store.size >= 20);
    serving = false;
    await until(() => held.length >= 100);
    serving = true;
    for (const answer of held.splice(0)) answer();
    await until(() => store.size >= 200);
    await end(child);
    const [first, ...rest] = written();
    if (first === undefined) throw new Error("nothing was written");
    for (const { number, dueNs } of rest) {
      expect(Number(dueNs - first.dueNs)).toBe((number - first.number) * (1e9 / RATE));
    }
    expect(rest.map((one) => one.number)).toEqual(rest.map((_, index) => first.number + 1 + index));
  });

  it("connects again, and promises nothing about what had no answer", async () => {
    const child = startClient();
    await until(() => store.size >= 20);
    serving = false;
    await until(() => held.length >= 10);
    held = [];
    serving = true;
    for (const socket of sockets.splice(0)) socket.destroy();
    const before = store.size;
    await until(() => store.size >= before + 20);
    const counts = await end(child);
    expect(counts.connections).toBe(2);
    expect(counts.unanswered).toBeGreaterThanOrEqual(10);
    expect(await readBack()).toMatchObject({ lost: 0 });
  });

  it("leaves a connection that has gone silent", async () => {
    const child = startClient(200);
    await until(() => store.size >= 5);
    serving = false;
    await until(() => sockets.length >= 2);
    serving = true;
    const before = store.size;
    await until(() => store.size > before);
    expect((await end(child)).connections).toBeGreaterThanOrEqual(2);
  });
});

describe("reading back", () => {
  it("finds each write that is gone, and each that is older than the one acknowledged", async () => {
    const child = startClient();
    await until(() => store.size >= 700);
    await end(child);
    const keys = [...store.keys()];
    store.delete(keys[510] ?? "");
    store.set(keys[3] ?? "", "3.1.old");
    expect(await readBack()).toMatchObject({ lost: 2, firstLost: 3 });
  });
});
