/**
 * Every place of every body and query in the agent's own OpenAPI document, filled with each type that it does not allow, by
 * a caller who may do everything: refused with a code, and no VM, token or migration is another than before.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { z } from "zod";

import { machine } from "../../test/fakes/fixtures.ts";
import { recordOf } from "../../test/fakes/records.ts";
import { ServedAgent } from "../../test/fakes/served-agent.ts";
import { problem } from "../api/host.ts";
import { openapi } from "../api/openapi.ts";
import { localRoutes, type Route } from "../api/routes.ts";
import { isErrorCode } from "../std/errors.ts";

interface Schema {
  readonly type?: string | readonly string[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
}
interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[];
  readonly requestBody?: { readonly content: { readonly "application/json": { readonly schema: Schema } } };
}

const VALUES: Readonly<Record<string, unknown>> = {
  null: null,
  boolean: true,
  number: 1.5,
  integer: 7,
  string: "x",
  array: [],
  object: {},
};
const typeOf = (value: unknown): string =>
  value === null
    ? "null"
    : Array.isArray(value)
      ? "array"
      : Number.isInteger(value)
        ? "integer"
        : typeof value;

/** Empty where the schema allows anything. */
function typesOf(schema: Schema): readonly string[] {
  const either = schema.anyOf ?? schema.oneOf;
  if (either !== undefined) return [...new Set(either.flatMap(typesOf))];
  if (schema.enum !== undefined) return schema.enum.map(typeOf);
  if (schema.const !== undefined) return [typeOf(schema.const)];
  const types = [schema.type ?? []].flat();
  return types.includes("number") ? [...types, "integer"] : types;
}

type Build = (value: unknown) => unknown;
type Fields = Readonly<Record<string, unknown>>;

/** Bodies that are wrong in one place each; all around it is as in the good one, as far as that goes. */
function* wrongs(
  schema: Schema,
  good: unknown,
  build: Build,
  where: string,
): Generator<[where: string, body: unknown]> {
  const allowed = typesOf(schema);
  if (allowed.length > 0) {
    for (const [type, value] of Object.entries(VALUES)) {
      if (!allowed.includes(type)) yield [`${where || "body"} is of type ${type}`, build(value)];
    }
  }
  const { properties, required = [], items } = schema;
  if (properties !== undefined) {
    const fields = { ...(good as Fields) };
    for (const [name, inner] of Object.entries(properties)) {
      const within: Build = (value) => build({ ...fields, [name]: value });
      yield* wrongs(inner, fields[name], within, `${where}.${name}`);
    }
    for (const name of required) {
      const { [name]: _, ...rest } = fields;
      yield [`${where}.${name} is missing`, build(rest)];
    }
    yield [`${where} has a key too many`, build({ ...fields, surplus: 1 })];
  }
  if (items !== undefined)
    yield* wrongs(items, (good as unknown[] | undefined)?.[0], (value) => build([value]), `${where}[0]`);
  for (const choice of schema.oneOf ?? []) {
    const constants = Object.entries(choice.properties ?? {}).filter(
      ([, { const: one }]) => one !== undefined,
    );
    const isIt = constants.every(([name, { const: one }]) => (good as Fields | undefined)?.[name] === one);
    if (isIt) yield* wrongs(choice, good, build, where);
  }
}

const action = { do: "throttle", percentMax: 50 } as const;
const request = {
  target: "b",
  technique: "hybrid",
  bandwidthBytesPerSecond: 1e6,
  maxDowntimeMs: 300,
  adaptiveDowntimeCeilingMs: 400,
  stopRules: { rounds: 3, bytesFactor: 2, remainingBytes: 4096 },
  switchRule: { when: "after-rounds", rounds: 1 },
  timeoutMs: 1000,
  policy: { initial: [action], convergence: [{ stalledRounds: 2, action }], last: [action] },
  verifyMemory: true,
  wire: "direct",
  native: { channels: 2, compression: "zstd", level: 1, xbzrleCacheBytes: 0 },
};
const latency = { slice_ms: 10, longest_ms: [1, null] };
/** Good bodies that have every key there is. */
const GOOD: Readonly<Record<string, unknown>> = {
  run: {
    ...machine,
    metadata: { name: "db-2", labels: { role: "db" } },
    spec: {
      ...machine.spec,
      kernel: "/vmlinuz",
      initrd: "/initrd",
      disks: [{ path: "/disk.raw", format: "raw", shared: true, readonly: false }],
      nics: [
        {
          bridge: "user",
          mac: "52:54:00:00:00:01",
          forward: [{ protocol: "tcp", hostPort: 2000, guestPort: 22 }],
        },
      ],
    },
  },
  pause: { ms: 1 },
  check: request,
  migrate: request,
  observe: {
    observer: "o",
    downtime_ms: { client: 1, guest: 1 },
    disruption_ms: { span: 1, sum: 1 },
    degradation_ratio: 0.1,
    link: { shaped: true, rate_bytes_per_second: 1, delay_ms: 1, note: "" },
    client_latency: latency,
    correctness: {
      verdict: "verified",
      checks: [{ what: "w", ok: true, detail: "d" }],
      lost_acknowledged_writes: 0,
    },
    notes: ["n"],
  },
  tellLatency: latency,
  createToken: { name: "t", rights: ["read"], expiresInMs: 1000 },
};

/** Keys of a schema that a good body does not show, by where they are. */
function unseen(schema: Schema, good: unknown, where = ""): string[] {
  const inner = Object.entries(schema.properties ?? {}).flatMap(([name, each]) => {
    const value = (good as Fields)[name];
    return value === undefined ? [`${where}.${name}`] : unseen(each, value, `${where}.${name}`);
  });
  const first = Array.isArray(good) ? good[0] : undefined;
  return schema.items === undefined || first === undefined
    ? inner
    : [...inner, ...unseen(schema.items, first, `${where}[0]`)];
}

let served: ServedAgent;
let token: string;
beforeAll(async () => {
  served = await ServedAgent.start({ fakeQemu: true });
  token = await served.token("root", "administer");
  await served.client.run({ body: machine });
  served.store.commit(recordOf({ id: "m-1" }));
});
afterAll(() => served[Symbol.asyncDispose]());

const paths = openapi()["paths"] as Record<string, Record<string, Operation>>;
const operations = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
);
const bodyOf = (operationId: string): z.ZodType | undefined =>
  (localRoutes as Record<string, Route>)[operationId]?.body;
const real = (path: string): string => path.replace("{name}", "db-1").replace("{id}", "m-1");
const state = async (): Promise<unknown> => [
  await served.client.vms(),
  await served.client.tokens(),
  await served.client.migrations(),
];

/** @returns what is wrong with the answer, if anything. */
async function unlikeARefusal(method: string, path: string, body?: unknown): Promise<string | undefined> {
  const response = await fetch(`${served.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (response.status !== 400) return `${response.status} ${text}`;
  const { code } = problem.parse(JSON.parse(text));
  return isErrorCode(code) && code !== "INTERNAL" ? undefined : code;
}

const written = operations.filter(({ operation }) => operation.requestBody !== undefined);
test.each(written.map((one) => [one.operation.operationId, one] as const))(
  "%s takes no value of another type, none too many and none too few",
  async (_, { path, method, operation }) => {
    const schema = operation.requestBody?.content["application/json"].schema ?? {};
    const good = GOOD[operation.operationId];
    // Else what is refused might be refused for another reason.
    expect(bodyOf(operation.operationId)?.safeParse(good).error).toBeUndefined();
    expect(unseen(schema, good)).toEqual([]);
    const before = await state();
    const tried = [...wrongs(schema, good, (value) => value, "")];
    expect(tried.length).toBeGreaterThan(8);
    const taken: string[] = [];
    for (const [what, body] of tried) {
      const found = await unlikeARefusal(method.toUpperCase(), real(path), body);
      if (found !== undefined) taken.push(`${what}: ${found}`);
    }
    expect(taken).toEqual([]);
    expect(await state()).toEqual(before);
  },
);

test("a query takes no value of another type", async () => {
  const tried = operations.flatMap(({ path, method, operation: { parameters = [] } }) =>
    parameters
      .filter((each) => each.in === "query" && !typesOf(each.schema).includes("string"))
      .concat(parameters.filter((each) => each.in === "query" && each.schema.enum !== undefined))
      .map((each) => [method.toUpperCase(), `${real(path)}?${each.name}=x`] as const),
  );
  expect(tried.length).toBeGreaterThan(4);
  for (const [method, path] of tried) {
    expect([path, await unlikeARefusal(method, path)]).toEqual([path, undefined]);
  }
});

test("a type that is not allowed would be seen, whatever the shape", () => {
  const schema: Schema = { type: "object", properties: { n: { type: "number" } }, required: ["n"] };
  expect([...wrongs(schema, { n: 2 }, (value) => value, "")].map(([what]) => what)).toEqual([
    ...["null", "boolean", "number", "integer", "string", "array"].map((type) => `body is of type ${type}`),
    ...["null", "boolean", "string", "array", "object"].map((type) => `.n is of type ${type}`),
    ".n is missing",
    " has a key too many",
  ]);
});
