import * as fc from "fast-check";
import { expect, test } from "vitest";

import { idsIn, parseTraceparent, traceIdsOf, traceparentOf, tracesUrl } from "./traceparent.ts";

test("a migration's header is well formed and carries its ids", () => {
  fc.assert(
    fc.property(fc.string(), (id) => {
      const header = parseTraceparent(traceparentOf(id));
      expect(header).toBe(traceparentOf(id));
      expect(idsIn(header ?? "")).toEqual(traceIdsOf(id));
    }),
  );
});

test("a header of a later version is understood as far as it is known", () => {
  const known = traceparentOf("m-1");
  expect(parseTraceparent(`01${known.slice(2)}-more`)).toBeDefined();
});

test.each([
  undefined,
  ["00-a", "b"],
  "",
  "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
  "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
  "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
  "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
  `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-${"x".repeat(200)}`,
])("%j is not a trace context", (header) => {
  expect(parseTraceparent(header)).toBeUndefined();
});

test("whatever a peer sends is a header or nothing", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      const header = parseTraceparent(text);
      expect(header === undefined || idsIn(header) !== undefined).toBe(true);
    }),
  );
});

test("traces are wanted by configuration or environment, the configuration first", () => {
  expect(tracesUrl(undefined, {})).toBeUndefined();
  expect(tracesUrl(undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: "" })).toBeUndefined();
  expect(tracesUrl(undefined, { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:4318/" })).toBe(
    "http://c:4318/v1/traces",
  );
  expect(tracesUrl({ endpoint: "http://d:4318" }, { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c" })).toBe(
    "http://d:4318/v1/traces",
  );
});
