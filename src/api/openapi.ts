/**
 * The OpenAPI 3.1 document, made from the route table and its schemas alone: what the agent serves at /openapi.json,
 * and what is published in schemas/.
 */
import { z } from "zod";

import { newToken, RIGHTS, tokenView, whoami, type Access } from "./access.ts";
import { auditEntry, auditVerification } from "./audit.ts";
import { agentEvent, checkReport, hostFacts, problem, vmView } from "./host.ts";
import { machineSpec } from "./machine.ts";
import { migrationView, progress } from "./migration.ts";
import { recording } from "./recording.ts";
import { report } from "./report.ts";
import { localRoutes, type Route } from "./routes.ts";

type Json = { [key: string]: unknown };

/** Shapes with a name of their own in the document. */
const named = z.registry<{ id: string }>();
for (const [id, schema] of Object.entries({
  AgentEvent: agentEvent,
  AuditEntry: auditEntry,
  AuditVerification: auditVerification,
  CheckReport: checkReport,
  HostFacts: hostFacts,
  Machine: machineSpec,
  MigrationView: migrationView,
  NewToken: newToken,
  Problem: problem,
  Progress: progress,
  Recording: recording,
  Report: report,
  TokenView: tokenView,
  VmView: vmView,
  Whoami: whoami,
})) {
  named.add(schema, { id });
}

export function openapi(): Json {
  const components: Json = {};
  const shape = (schema: z.ZodType, io: "input" | "output"): Json => {
    const {
      $schema: _,
      $defs,
      ...rest
    } = z.toJSONSchema(schema, {
      io,
      target: "draft-2020-12",
      // What is written is described in place: as input, a named shape has other required keys than as output.
      ...(io === "output" ? { metadata: named } : {}),
    }) as Json;
    for (const [name, definition] of Object.entries(($defs ?? {}) as Json)) {
      const { id: __, ...body } = definition as Json;
      components[name] ??= moved(body);
    }
    const { id, ...body } = moved(rest) as Json;
    if (typeof id !== "string" || io === "input") return body;
    components[id] ??= body;
    return ref(id);
  };
  const paths: Record<string, Json> = {};
  for (const [name, route] of Object.entries(localRoutes) as [string, Route][]) {
    const path = route.path.replace(/:(\w+)/g, "{$1}");
    (paths[path] ??= {})[route.method.toLowerCase()] = operation(name, route, shape);
  }
  paths["/events"] = { get: events(shape) };
  paths["/openapi.json"] = { get: document() };
  shape(problem, "output");
  return {
    openapi: "3.1.0",
    info: {
      title: "godwit agent",
      version: "1",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      description:
        "One host's agent: its VMs and the migrations it takes part in. Refusals are problem+json (RFC 9457) with a stable code and the next step.",
    },
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: "http", scheme: "bearer" } },
      responses: {
        Problem: {
          description: "A refusal: what happened, a stable code, and what to do next",
          content: { "application/problem+json": { schema: ref("Problem") } },
        },
      },
      schemas: Object.fromEntries(Object.entries(components).toSorted(([a], [b]) => (a < b ? -1 : 1))),
    },
  };
}

const ref = (name: string): Json => ({ $ref: `#/components/schemas/${name}` });

/** References as they are in a document where the named shapes stand under components. */
const moved = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value).replaceAll('"#/$defs/', '"#/components/schemas/'));

type Shape = (schema: z.ZodType, io: "input" | "output") => Json;

function operation(name: string, route: Route, shape: Shape): Json {
  const parameters = [
    ...parametersOf(route.params, "path", shape),
    ...parametersOf(route.query, "query", shape),
    ...(route.method === "POST" && route.secret !== true && route.changesNothing !== true ? [KEY] : []),
  ];
  return {
    operationId: name,
    summary: route.summary,
    ...accessOf(route.right),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { "application/json": { schema: shape(route.body, "input") } },
          },
        }),
    responses: {
      [String(route.status)]: {
        description: route.summary,
        ...(route.status === 202
          ? { headers: { Location: { schema: { type: "string" }, description: "Where to follow it" } } }
          : {}),
        content: { "application/json": { schema: shape(route.answer, "output") } },
      },
      ...REFUSALS,
    },
  };
}

const REFUSALS: Json = { default: { $ref: "#/components/responses/Problem" } };

const KEY: Json = {
  name: "Idempotency-Key",
  in: "header",
  required: false,
  description: "The same request under the same key within 24 hours gets the first answer again",
  schema: { type: "string", minLength: 1, maxLength: 255 },
};

const accessOf = (right: Access): Json => ({
  "x-godwit-right": right,
  ...(right === "public" ? { security: [] } : {}),
  description:
    right === "public"
      ? "Needs no token."
      : right === "identity"
        ? `Needs a valid token, whatever its rights (${RIGHTS.join(", ")}).`
        : `Needs the right ${right}.`,
});

function parametersOf(schema: z.ZodType | undefined, where: "path" | "query", shape: Shape): Json[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = shape(schema, "input") as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, each]) => ({
    name,
    in: where,
    required: where === "path" || required.includes(name),
    schema: each,
  }));
}

const events = (shape: Shape): Json => ({
  operationId: "events",
  summary: "Server-sent events of every VM and migration; Last-Event-ID continues",
  ...accessOf("read"),
  parameters: [{ name: "Last-Event-ID", in: "header", required: false, schema: { type: "string" } }],
  responses: {
    "200": {
      description:
        'Each event\'s data is an AgentEvent. Of {"type":"missed"} the meaning is: read the state again',
      content: {
        "text/event-stream": { schema: { type: "string" }, "x-godwit-data": shape(agentEvent, "output") },
      },
    },
    ...REFUSALS,
  },
});

const document = (): Json => ({
  operationId: "openapi",
  summary: "This document",
  ...accessOf("public"),
  responses: {
    "200": { description: "OpenAPI 3.1", content: { "application/json": { schema: { type: "object" } } } },
  },
});
