/** godwit token and godwit audit against a real agent, over its socket and over its listener for people. */
import { afterAll, beforeAll, expect, test } from "vitest";

import { ServedAgent } from "../../../test/fakes/served-agent.ts";
import { FakeTerminal } from "../../../test/fakes/terminal.ts";

let served: ServedAgent;
beforeAll(async () => {
  served = await ServedAgent.start();
});
afterAll(() => served[Symbol.asyncDispose]());

const godwit = async (...argv: string[]): Promise<{ code: number; out: string; err: string }> => {
  const terminal = new FakeTerminal();
  const code = await terminal.run(...argv, "--socket", served.socketPath);
  return { code, out: terminal.stdout, err: terminal.stderr };
};

test("a token is made, listed, used and revoked", async () => {
  const made = await godwit(
    "token",
    "create",
    "--name",
    "alice",
    "--rights",
    "read,send-from-here",
    "--expires",
    "30d",
  );
  expect(made.code).toBe(0);
  // Alone on stdout, for TOKEN=$(godwit token create …).
  const token = made.out.trim();
  expect(token).toMatch(/^gwt_[\w-]{43}$/);

  const far = new FakeTerminal({ env: { GODWIT_URL: served.url, GODWIT_TOKEN: token } });
  expect(await far.run("list", "-o", "json")).toBe(0);
  expect(JSON.parse(far.stdout)).toEqual([]);

  expect((await godwit("token", "list")).out).toMatch(/alice +read, send-from-here .* socket +20\d\d-/);
  expect((await godwit("token", "revoke", "alice")).out).toContain("Token alice is revoked");
  const after = new FakeTerminal({ env: { GODWIT_TOKEN: token } });
  expect(await after.run("list", "--url", served.url)).toBe(2);
  expect(after.stderr).toContain("unknown, expired or revoked");
});

test.each([
  [["--rights", "everything"], "is no right"],
  [["--rights", "read", "--expires", "30"], "a unit is needed"],
  [[], "--rights"],
])("a token with %j is refused", async (flags, sentence) => {
  const refused = await godwit("token", "create", "--name", "x", ...flags);
  expect([refused.code, refused.out]).toEqual([2, ""]);
  expect(refused.err).toContain(sentence);
});

test("a URL without a token, or beside a socket, is refused", async () => {
  const bare = new FakeTerminal();
  expect(await bare.run("list", "--url", served.url)).toBe(2);
  expect(bare.stderr).toContain("GODWIT_TOKEN");
  expect((await godwit("list", "--url", served.url)).err).toContain("both say which agent");
});

test("the audit log is shown and verified; tampering is shown, and leaves with 6", async () => {
  await godwit("token", "create", "--name", "bob", "--rights", "read");
  expect((await godwit("audit", "--limit", "5")).out).toMatch(/socket +createToken +POST \/tokens bob +done/);
  const whole = await godwit("audit", "--verify");
  expect([whole.code, whole.out]).toEqual([0, expect.stringContaining("is whole")]);
  served.store.database.sql.exec("UPDATE audit SET entry = replace(entry, 'bob', 'eve')");
  const broken = await godwit("audit", "--verify");
  expect([broken.code, broken.out]).toEqual([
    6,
    expect.stringMatching(/broken at entry \d+: it was changed/),
  ]);
});
