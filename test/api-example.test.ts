/** The example of docs/api.md runs as it stands there, in a program of its own that imports this package by its name. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

import { expect, test } from "vitest";

import { machine } from "./fakes/fixtures.ts";
import { aborted, recordOf } from "./fakes/records.ts";
import { ServedAgent } from "./fakes/served-agent.ts";
import { ROOT } from "./sources.ts";

const run = promisify(execFile);

test("the example of docs/api.md says what the agent knows", async () => {
  await using served = await ServedAgent.start({ fakeQemu: true });
  await served.client.run({ body: machine });
  served.store.commit(recordOf({ id: "m-1", state: aborted }));
  served.store.commit(recordOf({ id: "m-2" }));
  const document = readFileSync(join(ROOT, "docs/api.md"), "utf8");
  const example = /```ts example\n([\s\S]*?)```/.exec(document)?.[1] ?? "";
  const folder = mkdtempSync(join(tmpdir(), "godwit-example-"));
  try {
    // The sources under the package's name; the built package is tested where it is built.
    const installed = join(folder, "node_modules/godwit");
    mkdirSync(installed, { recursive: true });
    writeFileSync(join(installed, "package.json"), '{"type":"module","exports":"./index.js"}');
    const source = JSON.stringify(pathToFileURL(join(ROOT, "src/index.ts")).href);
    writeFileSync(join(installed, "index.js"), `export * from ${source};`);
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    writeFileSync(join(folder, "example.ts"), example);
    const { stdout } = await run(process.execPath, ["example.ts"], {
      cwd: folder,
      timeout: 20_000,
      env: {
        ...process.env,
        GODWIT_URL: served.url,
        GODWIT_TOKEN: await served.token("program", "read"),
      },
    });
    expect(stdout.trim().split("\n")).toEqual([
      "I am a token with read",
      "db-1 is running on a",
      "m-1: db-1: the link broke",
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
