/** QEMU: whether it is there, and new enough to be driven. */
import { DEFAULT_BINARY, probeQemu } from "../../qemu/probe.ts";
import { toCodedError } from "../../std/errors.ts";
import { blocker, fine, type Check, type Verdict } from "../types.ts";

type QemuFacts =
  | { readonly binary: string; readonly version: string }
  | { readonly binary: string; readonly code: string; readonly problem: string; readonly next: string };

const INSTALL = "apt-get install --no-install-recommends qemu-system-x86";

function judgeOne(facts: QemuFacts): Verdict {
  if ("version" in facts) return fine(`QEMU ${facts.version} (${facts.binary}).`);
  // An old QEMU is not cured by installing the same again, so its own next step is shown.
  return blocker(facts.problem, facts.code === "QEMU_MISSING" ? INSTALL : facts.next);
}

export const qemu: Check<QemuFacts> = {
  name: "qemu",
  gather: async ({ config }) => {
    const binary = config?.qemu ?? DEFAULT_BINARY;
    try {
      return { binary, version: (await probeQemu(binary)).version };
    } catch (error) {
      const { code, message, next } = toCodedError(error);
      return { binary, code, problem: message, next };
    }
  },
  judge: (facts) => [judgeOne(facts)],
};
