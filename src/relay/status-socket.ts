/** The relay's own socket: one JSON object per line in, one out. Decides what a line may ask. */
import { rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";

import { z } from "zod";

import { relayTarget, type RelayTarget } from "./config.ts";
import { STATUS_CLIENTS_MAX, STATUS_LINE_BYTES_MAX } from "./limits.ts";
import type { RelayStatus } from "./status.ts";

const request = z.discriminatedUnion("do", [
  z.strictObject({ do: z.literal("status") }),
  z.strictObject({
    do: z.literal("set-bandwidth"),
    bytesPerSecond: z.number().positive().nullable(),
  }),
  /** To a source that was started without its target's address. */
  z.strictObject({ do: z.literal("dial"), target: relayTarget }),
  /** Both QEMUs' sockets are closed at once. */
  z.strictObject({ do: z.literal("abort"), why: z.string().max(200) }),
]);
export type StatusRequest = z.infer<typeof request>;

export interface StatusHandlers {
  status(): RelayStatus;
  setBandwidth(bytesPerSecond: number | null): void;
  dial(target: RelayTarget): void;
  abort(why: string): void;
}

/** Settles once it listens. */
export async function serveStatus(path: string, handlers: StatusHandlers): Promise<{ close(): void }> {
  rmSync(path, { force: true });
  const clients = new Set<Socket>();
  const server = createServer((socket) => {
    if (clients.size >= STATUS_CLIENTS_MAX) return void socket.destroy();
    clients.add(socket);
    socket.on("close", () => clients.delete(socket));
    socket.on("error", () => socket.destroy());
    let text = "";
    socket.setEncoding("utf8").on("data", (part: string) => {
      const lines = `${text}${part}`.split("\n");
      text = lines.pop() ?? "";
      if (text.length > STATUS_LINE_BYTES_MAX) return void socket.destroy();
      for (const line of lines) socket.write(`${JSON.stringify(answer(line, handlers))}\n`);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  return {
    close: () => {
      server.close();
      for (const socket of clients) socket.end();
      rmSync(path, { force: true });
    },
  };
}

function answer(line: string, handlers: StatusHandlers): unknown {
  try {
    const asked = request.parse(JSON.parse(line));
    if (asked.do === "set-bandwidth") handlers.setBandwidth(asked.bytesPerSecond);
    if (asked.do === "dial") handlers.dial(asked.target);
    if (asked.do === "abort") handlers.abort(asked.why);
    return handlers.status();
  } catch (error) {
    return { problem: error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message };
  }
}
