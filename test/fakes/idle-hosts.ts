/** What choices of way and technique know of two hosts with nothing to do, memory for relays, and all that QEMU can. */
import type { WireFacts } from "../../src/migration/wire-choice.ts";

const idle = { cpus: 4, idleCpus: 4 };

export const idleHosts = {
  source: idle,
  target: idle,
  relaysWait: false,
  oneMachine: false,
  freeBytes: 8192 * 2 ** 20,
  capabilities: new Set(["multifd", "postcopy-ram"]),
  compressions: new Set(["none", "zlib", "zstd"]),
} satisfies Partial<WireFacts>;
