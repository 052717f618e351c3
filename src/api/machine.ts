/**
 * The machine spec: what a VM is made of, as YAML a person writes. Published as schemas/machine.schema.json.
 * Both hosts start QEMU from the same spec, so whatever the guest can see must be written here, never guessed.
 */
import { z } from "zod";

import { parseBytes } from "../std/units.ts";

export const VM_NAME = /^[a-z0-9][a-z0-9.-]{0,62}$/;
export const vmName = z
  .string()
  .regex(VM_NAME, "a name has 1 to 63 of a-z 0-9 . - and starts with a letter or digit");

const sizeText = z
  .string()
  .regex(/^\d+(\.\d+)?\s*(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)$/, 'a size with its unit, for example "512MiB"');

export const diskSpec = z.strictObject({
  path: z.string().startsWith("/", "an absolute path"),
  format: z.enum(["raw", "qcow2"]).default("raw"),
  /** True when both hosts see the same file (NFS, a cluster file system, or a lab on one machine). */
  shared: z.boolean().default(false),
  readonly: z.boolean().default(false),
});

/** The bridge name that means QEMU's own NAT, for labs without root. */
export const USER_BRIDGE = "user";

const port = z.int().min(1).max(65_535);

export const forwardSpec = z.strictObject({
  protocol: z.enum(["tcp", "udp"]),
  /** Port of the host that runs the VM now; the address is that agent's own. */
  hostPort: port,
  guestPort: port,
});

export const nicSpec = z
  .strictObject({
    /** A bridge of the host. Without root the lab uses "user": QEMU's own NAT, reached by its forwards only. */
    bridge: z.string().regex(/^[A-Za-z0-9_.-]{1,15}$/, "a network device's name"),
    mac: z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/, "a MAC address in lower case"),
    forward: z.array(forwardSpec).max(16).default([]),
  })
  .refine((nic) => nic.bridge === USER_BRIDGE || nic.forward.length === 0, {
    path: ["forward"],
    message: `forwards exist only on the bridge "${USER_BRIDGE}"; on a real one the guest has an address of its own`,
  });

export const machineSpec = z.strictObject({
  apiVersion: z.literal("godwit/v1"),
  kind: z.literal("Machine"),
  metadata: z.strictObject({
    name: vmName,
    labels: z.record(z.string().max(63), z.string().max(63)).default({}),
  }),
  spec: z.strictObject({
    memory: sizeText,
    vcpus: z.int().min(1).max(64).default(1),
    /** A model both hosts have. "host" is refused: it names a different CPU on each host. */
    cpu: z
      .string()
      .regex(/^[A-Za-z0-9_.,=+-]+$/)
      .default("qemu64"),
    /** An explicit versioned machine type: an alias means another machine on another QEMU. */
    machine: z
      .string()
      .regex(/^pc-(q35|i440fx)-\d+\.\d+$/, 'a versioned machine type, for example "pc-q35-7.2"')
      .default("pc-q35-7.2"),
    accelerator: z.enum(["auto", "kvm", "tcg"]).default("auto"),
    kernel: z.string().startsWith("/").optional(),
    initrd: z.string().startsWith("/").optional(),
    cmdline: z.string().max(2048).default(""),
    disks: z.array(diskSpec).max(16).default([]),
    nics: z.array(nicSpec).max(8).default([]),
  }),
});

export type MachineSpec = z.infer<typeof machineSpec>;
export type DiskSpec = z.infer<typeof diskSpec>;
export type NicSpec = z.infer<typeof nicSpec>;
export type ForwardSpec = z.infer<typeof forwardSpec>;

export const memoryBytes = (machine: MachineSpec): number => parseBytes(machine.spec.memory);
