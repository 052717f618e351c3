import { expect, test } from "vitest";

import { ServedAgent } from "../../test/fakes/served-agent.ts";

const statusOf = async (served: ServedAgent, path: string, token?: string): Promise<number> =>
  (
    await fetch(new URL(path, served.url), {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    })
  ).status;

test("metrics need the right to read; whether it is alive and ready, anybody may ask", async () => {
  await using served = await ServedAgent.start();
  expect(await statusOf(served, "/healthz")).toBe(200);
  expect(await statusOf(served, "/readyz")).toBe(503);
  expect(await statusOf(served, "/metrics")).toBe(401);
  expect(await statusOf(served, "/metrics", await served.token("scraper", "read"))).toBe(200);
});

test("metrics are open where the configuration opens them, and nothing else is", async () => {
  await using served = await ServedAgent.start({ openMetrics: true });
  expect(await statusOf(served, "/metrics")).toBe(200);
  expect(await statusOf(served, "/vms")).toBe(401);
});
