/**
 * A checksum a guest makes over every file of its root, which is all in its memory: asked before and after a move, it
 * shows whether a guest without a service that checks itself is still what it was. Asked through the shell on its
 * console, so that nothing has to run in the guest meanwhile.
 */
import { connect } from "node:net";

import { CodedError } from "../../std/errors.ts";

const ANSWER_MAX_BYTES = 64 * 1024;
/** Typed as one line. The shell echoes it; only what it prints has the sum where the line has its making. */
const QUESTION =
  "\necho godwit-sum=$(for f in $(find / -xdev -type f | sort); do sha256sum $f; done | sha256sum | cut -c1-64)\n";
const ANSWER = /godwit-sum=([0-9a-f]{64})\b/;

/** @throws CodedError TOOL_FAILED when the console does not answer in time. */
export function filesSum(consoleSocket: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(consoleSocket);
    let heard = "";
    const fail = (why: string): void => {
      end();
      reject(new CodedError("TOOL_FAILED", { command: "The sum over the guest's files", why }));
    };
    const timer = setTimeout(() => fail(`its console did not answer in ${timeoutMs / 1000} s`), timeoutMs);
    const end = (): void => {
      clearTimeout(timer);
      socket.destroy();
    };
    socket.on("connect", () => socket.write(QUESTION));
    socket.on("data", (piece: Buffer) => {
      heard = (heard + piece.toString("latin1")).slice(-ANSWER_MAX_BYTES);
      const sum = ANSWER.exec(heard)?.[1];
      if (sum === undefined) return;
      end();
      resolve(sum);
    });
    socket.on("error", (error) => fail(error.message));
    socket.on("close", () => fail("its console was closed"));
  });
}
