/** Every check of a host, in the order it is set up in. */
import type { Check } from "../types.ts";
import { certificates } from "./certificates.ts";
import { clock } from "./clock.ts";
import { configuration } from "./configuration.ts";
import { kvm } from "./kvm.ts";
import { limits } from "./limits.ts";
import { memory } from "./memory.ts";
import { network } from "./network.ts";
import { node } from "./node.ts";
import { peers } from "./peers.ts";
import { ports } from "./ports.ts";
import { postCopy } from "./post-copy.ts";
import { qemu } from "./qemu.ts";
import { service } from "./service.ts";
import { stateDisk } from "./state-disk.ts";

export const checks: readonly Check<unknown>[] = [
  node,
  qemu,
  kvm,
  postCopy,
  memory,
  limits,
  network,
  clock,
  configuration,
  stateDisk,
  ports,
  certificates,
  service,
  peers,
];
