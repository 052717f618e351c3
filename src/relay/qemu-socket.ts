/** QEMU's end: one unix socket, both directions, each of which ends by itself. */
import { rmSync } from "node:fs";
import { connect, createServer, Socket } from "node:net";

import { CodedError } from "../std/errors.ts";

/** What `net` keeps behind a socket; not public. Without it, reads are copied once more. */
interface WithHandle {
  _handle: unknown;
}

export interface OnRead {
  /** Or, before each read, where it goes. */
  readonly buffer: Uint8Array | (() => Uint8Array);
  /** false: stop reading until `resume`. */
  readonly callback: (bytes: number, buffer: Uint8Array) => boolean;
}

/** Listens at `path` for the one connection of QEMU's `migrate unix:PATH`, and reads it straight into a buffer. */
export function acceptQemu(
  path: string,
  onread: OnRead,
  accepted: (socket: Socket) => void,
): { close(): void } {
  rmSync(path, { force: true });
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (connection) => {
    server.close();
    accepted(withBuffer(connection, onread));
  });
  server.maxConnections = 1;
  server.listen(path);
  return {
    close: () => {
      server.close();
      rmSync(path, { force: true });
    },
  };
}

/** `onread` is for sockets that one opens; one that was accepted changes its wrapper. */
export function withBuffer(connection: Socket, onread: OnRead): Socket {
  const handle = (connection as unknown as WithHandle)._handle;
  (connection as unknown as WithHandle)._handle = null;
  return new Socket({ handle, allowHalfOpen: true, onread } as ConstructorParameters<typeof Socket>[0]);
}

/** Connects to QEMU's `migrate-incoming unix:PATH`. The first connection is the stream: it is never tried out. */
export function connectQemu(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    const failed = (error: Error): void => {
      reject(
        new CodedError("QEMU_CLOSED", { side: "target", when: `before it was reached: ${error.message}` }),
      );
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      socket.off("error", failed);
      resolve(socket);
    });
  });
}

/** Settles when the kernel has it all; false when QEMU is no longer there. The bytes must stay until then. */
export function writeAll(socket: Socket, bytes: Uint8Array): Promise<boolean> {
  if (bytes.byteLength === 0) return Promise.resolve(!socket.destroyed);
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve(false);
    const gone = (): void => resolve(false);
    socket.once("close", gone);
    socket.write(bytes, (error) => {
      socket.off("close", gone);
      resolve(error === undefined || error === null);
    });
  });
}
