/**
 * What a lab guest can do while it is moved: one table. Decides each workload's parameters and the words it adds to the
 * guest's command line; the init script (init.sh) acts on them. Every guest also answers UDP echo and sends the beacon.
 */
import { z } from "zod";

import { CodedError } from "../../std/errors.ts";
import { parseBytes, parseRate } from "../../std/units.ts";
import type { Flavour } from "./image.ts";

/** Fixed by init.sh. */
export const guestPorts = { echo: 7007, beacon: 7008, writer: 7009, redis: 6379 } as const;

export const workloadNames = ["idle", "redis", "writer"] as const;
export type WorkloadName = (typeof workloadNames)[number];

export interface Workload {
  readonly name: WorkloadName;
  readonly summary: string;
  readonly flavour: Flavour;
  /** Guest memory it runs well in. */
  readonly memory: string;
  /** As a person writes them: quantities are text with units. */
  readonly params: z.ZodObject;
  /** Refuses parameters that do not fit with USAGE. */
  cmdline(params: Readonly<Record<string, unknown>>): string;
}

const quantity = (parse: (text: string) => number, fallback: string) =>
  z
    .string()
    .default(fallback)
    .transform((text, context) => {
      try {
        return parse(text);
      } catch (error) {
        context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
        return z.NEVER;
      }
    });

function define<Shape extends z.ZodRawShape>(
  workload: Omit<Workload, "params" | "cmdline"> & {
    readonly params: z.ZodObject<Shape>;
    readonly words: (params: z.output<z.ZodObject<Shape>>) => readonly string[];
  },
): Workload {
  const { words, ...rest } = workload;
  return {
    ...rest,
    cmdline(params) {
      const parsed = rest.params.safeParse(params);
      if (!parsed.success) {
        const problems = parsed.error.issues.map(({ path, message }) =>
          [path.map(String).join("."), message].filter((part) => part !== "").join(": "),
        );
        throw new CodedError("USAGE", {
          problem: `The workload ${rest.name} cannot take these parameters: ${problems.join("; ")}`,
          next: `It knows: ${Object.keys(rest.params.shape).join(", ") || "none"}.`,
        });
      }
      return [`godwit.workload=${rest.name}`, ...words(parsed.data)].join(" ");
    },
  };
}

export const workloads: Readonly<Record<WorkloadName, Workload>> = {
  idle: define({
    name: "idle",
    summary: "answers echo, sends the beacon, does nothing else",
    flavour: "base",
    memory: "128MiB",
    params: z.strictObject({}),
    words: () => [],
  }),
  redis: define({
    name: "redis",
    summary: "Debian's redis-server on port 6379, in memory only",
    flavour: "redis",
    memory: "256MiB",
    params: z.strictObject({}),
    words: () => [],
  }),
  writer: define({
    name: "writer",
    summary: "writes a set of pages at a set rate, and can verify each of them (port 7009)",
    flavour: "base",
    memory: "256MiB",
    params: z.strictObject({
      set: quantity(parseBytes, "64MiB"),
      rate: quantity(parseRate, "20MiB/s"),
      /** hot-set: 90 % of the writes go to 10 % of the pages. */
      pattern: z.enum(["sequential", "random", "hot-set"]).default("random"),
      /**
       * unique: incompressible, no page twice. text: compressible. partial: each write changes about 160 bytes of a page.
       * mixed, by page: 20 % zero, 20 % one of 16 contents, 35 % text, 25 % unique.
       */
      content: z.enum(["unique", "text", "mixed", "partial"]).default("mixed"),
      seed: z.int().min(1).default(1),
    }),
    words: ({ set, rate, pattern, content, seed }) => [
      `godwit.writer=${[set, rate, pattern, content, seed].join(",")}`,
    ],
  }),
};

export const isWorkloadName = (text: string): text is WorkloadName => Object.hasOwn(workloads, text);
