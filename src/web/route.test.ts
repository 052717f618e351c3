import * as fc from "fast-check";
import { expect, test } from "vitest";

import { COMPARED_MAX, hashOfPath, hrefOf, parseRoute, type Page } from "./route.ts";

const id = fc.stringMatching(/^[a-z0-9-]{1,64}$/);
const page: fc.Arbitrary<Page> = fc.oneof(
  fc.constantFrom<Page>({ page: "fleet" }, { page: "history" }, { page: "audit" }),
  id.map((one): Page => ({ page: "migration", id: one })),
  id.map((one): Page => ({ page: "replay", id: one })),
  fc
    .uniqueArray(id, { minLength: 1, maxLength: COMPARED_MAX })
    .map((ids): Page => ({ page: "compare", ids })),
);

test("an address leads back to the page it was made for", () => {
  fc.assert(
    fc.property(page, (one) => {
      expect(parseRoute(hrefOf(one))).toEqual(one);
    }),
  );
});

test("a path of the API, opened in a browser, leads to the page about it", () => {
  expect(hashOfPath("/")).toBeUndefined();
  expect(hashOfPath("/migrations/m-1")).toBe("#/migrations/m-1");
  expect(hashOfPath("/migrations/m-1/report")).toBe("#/migrations/m-1");
  expect(hashOfPath("/migrations")).toBe("#/history");
  expect(hashOfPath("/vms")).toBe("#/");
});

test("whatever stands behind the #, some page is shown, and never an id no agent would give", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const parsed = parseRoute(`#/${text}`);
      if ("id" in parsed) expect(parsed.id).toMatch(/^[a-z0-9-]{1,64}$/);
    }),
  );
  expect(parseRoute("#/migrations/..%2Fx")).toMatchObject({ page: "unknown" });
});

test("one migration is compared once, and not more of them than can be told apart", () => {
  const parsed = parseRoute("#/compare?ids=a,a,b,c,d,e,f,g,h");
  expect(parsed).toEqual({ page: "compare", ids: ["a", "b", "c", "d", "e", "f"] });
});
