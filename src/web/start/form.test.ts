import * as fc from "fast-check";
import { expect, test } from "vitest";

import { TECHNIQUE_CHOICES } from "../../api/migration.ts";
import { emptyForm, parseForm, type StartForm } from "./form.ts";

const typed = (parts: Partial<StartForm>) => parseForm({ ...emptyForm("b"), ...parts });

test("the form as it opens is a request that can be sent, like the command line's defaults", () => {
  expect(typed({})).toMatchObject({
    ok: true,
    request: { target: "b", technique: "pre-copy", maxDowntimeMs: 300, wire: "auto" },
  });
});

test("units read as on the command line, and a bare number is refused beside its field", () => {
  expect(typed({ bandwidth: "1Gbit/s", timeout: "10m" })).toMatchObject({
    ok: true,
    request: { bandwidthBytesPerSecond: 125e6, timeoutMs: 600_000 },
  });
  const parsed = typed({ bandwidth: "100", maxDowntime: "0.3" });
  expect(parsed).toMatchObject({ ok: false });
  if (!parsed.ok) {
    expect(Object.keys(parsed.problems)).toEqual(["bandwidth", "maxDowntime"]);
    expect(parsed.problems.bandwidth).toContain("100MiB/s");
  }
});

test("whatever is typed, it is a request or a word beside a field, never a fault", () => {
  const text = fc.oneof(fc.string(), fc.constantFrom("", "0s", "300ms", "1Gbit/s", "9999999h", "1e9s"));
  const form: fc.Arbitrary<StartForm> = fc.record({
    target: fc.constantFrom("", "b"),
    technique: fc.constantFrom(...TECHNIQUE_CHOICES),
    wire: fc.constantFrom("auto", "direct", "relay"),
    bandwidth: text,
    maxDowntime: text,
    adaptiveDowntime: text,
    remaining: text,
    timeout: text,
    onTimeout: fc.constantFrom("cancel", "post-copy", "force"),
    forceCeiling: text,
    switchWhen: fc.constantFrom("after-rounds", "stalled", "shorter-stall"),
    autoConverge: fc.boolean(),
    verifyMemory: fc.boolean(),
  });
  fc.assert(
    fc.property(form, (one) => {
      const parsed = parseForm(one);
      if (!parsed.ok) expect(Object.keys(parsed.problems)).not.toEqual([]);
    }),
  );
});

test("what a technique has no use for is left out, even when it still stands in its field", () => {
  const parsed = typed({ technique: "post-copy", adaptiveDowntime: "nonsense", verifyMemory: true });
  expect(parsed).toMatchObject({ ok: true, request: { verifyMemory: false } });
});

test("a forced pause needs its ceiling, and only after a timeout", () => {
  expect(typed({ onTimeout: "force", forceCeiling: "" })).toMatchObject({ ok: true });
  expect(typed({ timeout: "5m", onTimeout: "force", forceCeiling: "" })).toMatchObject({ ok: false });
  expect(typed({ timeout: "5m", onTimeout: "force", forceCeiling: "2s" })).toMatchObject({
    request: { policy: { last: [{ do: "force", downtimeCeilingMs: 2000 }] } },
  });
});

test("a ceiling below the pause asked for is a contradiction", () => {
  expect(typed({ maxDowntime: "1s", adaptiveDowntime: "500ms" })).toMatchObject({ ok: false });
});
