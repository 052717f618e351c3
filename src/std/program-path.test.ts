import { expect, test } from "vitest";

import { programPath } from "./program-path.ts";

test("beside a source file a program is its source", () => {
  expect(programPath("file:///opt/godwit/src/relay/start.ts", "./main.ts")).toBe(
    "/opt/godwit/src/relay/main.ts",
  );
});

test("beside a compiled file it is compiled too", () => {
  expect(programPath("file:///opt/godwit/dist/lab/agents.js", "../cli/main.ts")).toBe(
    "/opt/godwit/dist/cli/main.js",
  );
});

test("a folder's name with spaces is a path, not a URL", () => {
  expect(programPath("file:///opt/go%20dwit/a.js", "./b.ts")).toBe("/opt/go dwit/b.js");
});
