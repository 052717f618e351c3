/** One question over TCP to the first address that answers it; a guest without its own network may be at several. */
import { connect } from "node:net";

export interface Talk {
  readonly addresses: readonly string[];
  readonly port: number;
  readonly timeoutMs: number;
  readonly say: string;
  /** Gets what comes; true when the answer is whole. */
  readonly hear: (piece: Buffer) => boolean;
}

export async function conversation(talk: Talk): Promise<void> {
  const failures: string[] = [];
  for (const address of talk.addresses) {
    const failure = await tryAddress(talk, address);
    if (failure === null) return;
    failures.push(`${address}: ${failure}`);
  }
  throw new Error(`No answer on port ${talk.port} (${failures.join("; ")}).`);
}

/** @returns null when the whole answer came. An address that began to answer is not followed by another. */
function tryAddress(talk: Talk, address: string): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port: talk.port, noDelay: true });
    let heard = false;
    const timer = setTimeout(() => {
      if (heard) reject(new Error(`${address} stopped in the middle of its answer.`));
      else resolve("silent");
      socket.destroy();
    }, talk.timeoutMs);
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      settle();
      socket.destroy();
    };
    socket.on("connect", () => socket.write(talk.say));
    socket.on("data", (piece) => {
      heard = true;
      try {
        if (talk.hear(piece)) end(() => resolve(null));
      } catch (error) {
        end(() => reject(error instanceof Error ? error : new Error(String(error))));
      }
    });
    socket.on("error", (error) => end(() => resolve(error.message)));
    socket.on("close", () => end(() => resolve("closed before the answer was whole")));
  });
}
