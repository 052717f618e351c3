import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { peerRoutes } from "../api/peer-routes.ts";
import { Peer } from "./peers.ts";
import { initCa, issueHost } from "./pki.ts";

let dir: string;
let silent: Server;
const sockets: Socket[] = [];
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "godwit-peers-"));
  await initCa(join(dir, "ca"));
  await issueHost({ caDir: join(dir, "ca"), name: "a", addresses: ["127.0.0.1"], outDir: join(dir, "tls") });
  silent = createServer((socket) => void sockets.push(socket)).listen(0, "127.0.0.1");
  await once(silent, "listening");
});
afterEach(() => {
  vi.useRealTimers();
  for (const socket of sockets.splice(0)) socket.destroy();
  silent.close();
  rmSync(dir, { recursive: true, force: true });
});

it("is not waited for longer than ten seconds before it was reached, however long its answer may take", async () => {
  const { port } = silent.address() as AddressInfo;
  const peer = new Peer({ name: "b", address: "127.0.0.1", port }, join(dir, "tls"));
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const began = once(silent, "connection");
  const answer = peer.call(peerRoutes.peerHost, { timeoutMs: 60_000 });
  const refused = expect(answer).rejects.toMatchObject({
    code: "PEER_STALLED",
    details: { host: "b", waited: "10 s", delivered: "no" },
  });
  await began;
  vi.advanceTimersByTime(10_000);
  await refused;
  peer.close();
});
