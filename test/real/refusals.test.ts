/**
 * What must be refused is refused with its own code and a next step, and nothing is changed by it: the VM lists and the
 * running QEMUs of both hosts are the same before and after, and the guest still ticks.
 */
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";

import { initCa, issueHost } from "../../src/agent/pki.ts";
import { connectAgent } from "../../src/api/client.ts";
import { inside, run } from "../../src/lab/run.ts";
import { hostOf } from "../../src/lab/state.ts";
import type { CodedError } from "../../src/std/errors.ts";
import { Arena, explainSkip, type Host, isRoot, until } from "./arena.ts";

explainSkip("refusals.test.ts");

const DEADLINE_MS = 30_000;

describe.runIf(isRoot)("refusals", () => {
  let arena: Arena;
  let folder: string;
  let name: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "gw-refusals-"));
    arena = await Arena.up();
    name = await arena.guest("a");
  });
  beforeEach(async () => {
    await arena.startDeadAgents();
    expect(await arena.ticking(name)).toEqual(["a"]);
  });
  afterAll(async () => {
    await arena?.down();
    rmSync(folder, { recursive: true, force: true });
  });

  /** @returns the refusal, after proving that nothing changed. */
  async function refused(ask: () => Promise<unknown>): Promise<CodedError> {
    const before = [await arena.inventory(), JSON.stringify(await arena.qemus())];
    const answer = await ask().then(
      (value) => {
        throw new Error(`it was not refused: ${JSON.stringify(value)}`);
      },
      (error: unknown) => error as CodedError,
    );
    expect(answer.name, String(answer)).toBe("CodedError");
    expect(answer.next).not.toBe("");
    expect([await arena.inventory(), JSON.stringify(await arena.qemus())]).toEqual(before);
    expect(await arena.ticking(name)).toEqual(["a"]);
    return answer;
  }

  const move = (settings: object = {}): Promise<{ readonly id: string }> =>
    arena.migrate(name, "a", { technique: "pre-copy", ...settings });

  /** The agent with another configuration, for as long as `act` runs. */
  async function configured(
    host: Host,
    change: Record<string, unknown>,
    act: () => Promise<void>,
  ): Promise<void> {
    const file = hostOf(arena.lab, host).configFile;
    const original = readFileSync(file, "utf8");
    await arena.killAgent(host);
    writeFileSync(file, stringify({ ...(parse(original) as object), ...change }));
    try {
      await arena.startDeadAgents();
      await act();
    } finally {
      await arena.killAgent(host);
      writeFileSync(file, original);
      await arena.startDeadAgents();
    }
  }

  /** Runs a Node program in a host's namespace and returns what it printed. */
  async function nodeIn(host: Host, program: string): Promise<string> {
    const [command, args] = inside(arena.netns(host), [process.execPath, "-e", program]);
    return run(command, args);
  }

  const address = (host: Host): string => hostOf(arena.lab, host).address;

  it("a VM nobody knows", async () => {
    const answer = await refused(() => arena.migrate("nobody", "a", { technique: "pre-copy" }));
    expect(answer.code).toBe("VM_UNKNOWN");
  });

  it("a host nobody knows", async () => {
    expect((await refused(() => move({ target: "nowhere" }))).code).toBe("HOST_UNKNOWN");
  });

  it("a move to where it is", async () => {
    expect((await refused(() => move({ target: "a" }))).code).toBe("SAME_HOST");
  });

  it("settings that contradict each other", async () => {
    const answer = await refused(() => move({ technique: "post-copy", verifyMemory: true }));
    expect(answer.code).toBe("USAGE");
  });

  it("a machine spec with an unknown key", async () => {
    const machine = arena.machine("odd");
    const body = { ...machine, spec: { ...machine.spec, colour: "green" } };
    const answer = await refused(() => arena.client("a").run({ body }));
    expect(answer.code).toBe("REQUEST_INVALID");
    expect(answer.message).toContain("colour");
  });

  it("a VM whose name the host has already", async () => {
    expect((await refused(() => arena.client("a").run({ body: arena.machine(name) }))).code).toBe(
      "VM_EXISTS",
    );
  });

  it("a target that has a VM of that name", async () => {
    await arena.client("b").run({ body: arena.machine(name) });
    try {
      const before = await arena.inventory();
      const outcome = await move().then(
        async ({ id }) => (await arena.settled(id)).source.code,
        (error: CodedError) => JSON.stringify(error.details),
      );
      expect(outcome).toContain("NAME_TAKEN");
      expect(await arena.inventory()).toBe(before);
    } finally {
      await arena.client("b").stop({ params: { name } });
    }
  });

  it(
    "a second migration of a VM that is moving, also when both are asked for at once",
    { timeout: 60_000 },
    async () => {
      const slow = { bandwidthBytesPerSecond: 400_000 };
      const answers = await Promise.allSettled([move(slow), move(slow)]);
      const good = answers.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
      const bad = answers.flatMap((each) => (each.status === "rejected" ? [each.reason as CodedError] : []));
      expect(bad.map((each) => each.code)).toEqual(["VM_BUSY"]);
      const [moving] = good;
      if (moving === undefined) throw new Error("neither was accepted");
      try {
        await expect(move()).rejects.toMatchObject({ code: "VM_BUSY" });
        await expect(arena.client("a").stop({ params: { name } })).rejects.toMatchObject({ code: "VM_BUSY" });
      } finally {
        await arena.client("a").cancel({ params: { id: moving.id } });
        await arena.settled(moving.id);
      }
      expect(await arena.ticking(name)).toEqual(["a"]);
    },
  );

  it("a target without QEMU", async () => {
    await configured("b", { qemu: "/nonexistent/qemu" }, async () => {
      const answer = await refused(() => move());
      expect(answer.details["peerCode"] ?? answer.code).toBe("QEMU_MISSING");
      const own = await refused(() => arena.client("b").run({ body: arena.machine("new") }));
      expect(own.code).toBe("QEMU_MISSING");
    });
  });

  it("a target whose QEMU is too old", async () => {
    const binary = join(folder, "old-qemu");
    writeFileSync(
      binary,
      `#!${process.execPath}
const path = /path=([^,]+)/.exec(process.argv.find((word) => word.includes("id=qmp")))[1];
require("net").createServer((socket) => {
  socket.write(JSON.stringify({ QMP: { version: { qemu: { major: 6, minor: 2, micro: 0 }, package: "" }, capabilities: ["oob"] } }) + "\\r\\n");
  socket.on("data", (data) => { for (const line of String(data).trim().split("\\n")) socket.write(JSON.stringify({ return: {}, id: JSON.parse(line).id }) + "\\r\\n"); });
}).listen(path);
`,
    );
    chmodSync(binary, 0o755);
    await configured("b", { qemu: binary }, async () => {
      const answer = await refused(() => move());
      expect(answer.details["peerCode"] ?? answer.code).toBe("QEMU_TOO_OLD");
      expect(answer.message).toContain("6.2");
    });
  });

  it(
    "a full disk at the target: nothing half-made, and it works again when there is room",
    { timeout: 90_000 },
    async () => {
      const disk = mkdtempSync(join(folder, "disk-"));
      await run("mount", ["-t", "tmpfs", "-o", "size=32m", "tmpfs", disk]);
      try {
        await configured("b", { stateDir: disk }, async () => {
          // A first VM makes the journal as large as it is in use.
          await arena.client("b").run({ body: arena.machine("first") });
          await arena.client("b").stop({ params: { name: "first" } });
          await run("sh", ["-c", `head -c 100000000 /dev/zero >'${disk}/full'`]).catch(() => "");
          const own = await refused(() => arena.client("b").run({ body: arena.machine("new") }));
          expect(own.code).toBe("DISK_FULL");
          // The pre-flight check asks for room before anything is begun.
          const before = await arena.inventory();
          const blocked = await refused(() => move());
          expect(blocked.code).toBe("CHECK_FAILED");
          expect(JSON.stringify(blocked.details)).toContain("STATE_DISK_FULL");
          expect(await arena.inventory()).toBe(before);
          rmSync(join(disk, "full"));
          const { id } = await move({ verifyMemory: true });
          const { source: there } = await arena.settled(id);
          expect(there, there.reason).toMatchObject({ outcome: "done" });
          const back = await arena.migrate(name, "b", { technique: "pre-copy", verifyMemory: true });
          const { source: home } = await arena.settled(back.id, "b");
          expect(home, home.reason).toMatchObject({ outcome: "done" });
        });
      } finally {
        await run("umount", ["-l", disk]);
      }
    },
  );

  it("a client with a certificate of another CA, or with none: in the handshake, and the agent says so", async () => {
    const caDir = join(folder, "other-ca");
    const outDir = join(folder, "other");
    await initCa(caDir);
    await issueHost({ caDir, name: "a", addresses: [address("a")], outDir });
    for (const tls of [outDir, undefined]) {
      expect(await nodeIn("a", asksPeer(address("b"), tls, "GET", "/peer/host"))).toMatch(/^refused/);
    }
    const log = readFileSync(hostOf(arena.lab, "b").logFile, "utf8");
    expect(log).toContain("a peer was refused");
  });

  it("a certified host that is not among the peers", async () => {
    const outDir = join(folder, "stranger");
    await issueHost({
      caDir: join(arena.lab.folder, "ca"),
      name: "stranger",
      addresses: [address("a")],
      outDir,
    });
    for (const path of ["/peer/host", "/peer/vms", "/peer/migrations/some-id"]) {
      expect(await nodeIn("a", asksPeer(address("b"), outDir, "GET", path))).toContain("PEER_UNTRUSTED");
    }
  });

  it("a body larger than any request", async () => {
    const tls = tlsOf("a");
    const answer = await nodeIn("a", asksPeer(address("b"), tls, "POST", "/peer/migrations", 2 << 20));
    expect(answer).toMatch(/REQUEST_INVALID|refused/);
    expect(await arena.client("b").vms()).toEqual([]);
  });

  it("garbage on the agent's port: the agent goes on", async () => {
    const program = `const s=require("net").connect(7465,${JSON.stringify(address("b"))},()=>s.write(Buffer.alloc(65536,0x5a)));
      s.on("close",()=>{console.log("closed");process.exit(0)});s.on("error",()=>{});s.resume();`;
    expect(await nodeIn("a", program)).toContain("closed");
    const { peers } = await arena.client("a").host();
    expect(peers).toMatchObject([{ name: "b", reachable: true }]);
  });

  for (const [what, greeting, code] of [
    ["accepts and says nothing", "", /^PEER_STALLED$/],
    ["talks another protocol", "220 mail.example.org ESMTP\\r\\n", /^PEER_(UNREACHABLE|UNTRUSTED|GARBAGE)$/],
  ] as const) {
    it(`a peer that ${what}`, { timeout: 60_000 }, async () => {
      const program = `require("net").createServer((s)=>{s.on("error",()=>{});s.resume();${greeting === "" ? "" : `s.write("${greeting}");`}}).listen(9999,"0.0.0.0",()=>console.log("up"))`;
      const [command, args] = inside(arena.netns("b"), [process.execPath, "-e", program]);
      const server = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
      try {
        await new Promise<void>((up) => server.stdout.once("data", () => up()));
        const peers = [
          { name: "b", address: address("b"), port: 7465 },
          { name: "odd", address: address("b"), port: 9999 },
        ];
        await configured("a", { peers }, async () => {
          expect((await refused(() => move({ target: "odd" }))).code).toMatch(code);
        });
      } finally {
        server.kill("SIGKILL");
      }
    });
  }

  it("a stranger on the migration port: the guest is unharmed", { timeout: 60_000 }, async () => {
    // The source is held until the stranger has spoken.
    arena.arm([{ at: "target:receiving", stop: [arena.agentPid("a")] }]);
    const asked = move();
    try {
      await until("the target to listen", DEADLINE_MS, () => arena.met());
      const program = `const s=require("net").connect(49152,${JSON.stringify(address("b"))},()=>s.write("QEVMgarbage".repeat(1000)));
        const end=(why)=>()=>{console.log(why);process.exit(0)};s.on("close",end("closed"));s.on("error",()=>{});setTimeout(end("held"),2000);`;
      await nodeIn("a", program);
    } finally {
      arena.disarm();
      await arena.wake(name);
    }
    const { id } = await asked;
    const { source } = await arena.settled(id);
    console.log(`after a stranger on the migration port: ${source.outcome} ${source.code} ${source.reason}`);
    if (source.outcome === "done") {
      const back = await arena.migrate(name, "b", { technique: "pre-copy", verifyMemory: true });
      expect((await arena.settled(back.id, "b")).source).toMatchObject({ outcome: "done" });
    }
    expect(["done", "failed"]).toContain(source.outcome);
    expect(await arena.ticking(name)).toEqual(["a"]);
    const again = await move({ verifyMemory: true });
    expect((await arena.settled(again.id)).source.outcome).toBe("done");
    const back = await arena.migrate(name, "b", { technique: "pre-copy" });
    expect((await arena.settled(back.id, "b")).source).toMatchObject({ outcome: "done" });
  });

  it("an agent that is not there", async () => {
    const ask = connectAgent(join(folder, "no.sock")).vms();
    await expect(ask).rejects.toMatchObject({ code: "AGENT_UNREACHABLE" });
  });

  function tlsOf(host: Host): string {
    return (parse(readFileSync(hostOf(arena.lab, host).configFile, "utf8")) as { tlsDir: string }).tlsDir;
  }
});

/** A program that asks an agent's peer port and prints the answer, or "refused" and why. */
function asksPeer(host: string, tls: string | undefined, method: string, path: string, bytes = 0): string {
  const files =
    tls === undefined
      ? ""
      : `,cert:fs.readFileSync(${JSON.stringify(`${tls}/client-cert.pem`)}),key:fs.readFileSync(${JSON.stringify(`${tls}/client-key.pem`)})`;
  return `const fs=require("fs");
    const refused=(e)=>{console.log("refused "+e.message);process.exit(0)};
    const q=require("https").request({host:${JSON.stringify(host)},port:7465,method:"${method}",path:"${path}",rejectUnauthorized:false,headers:{"content-type":"application/json"}${files}},(r)=>{
      let t="";r.on("data",(d)=>t+=d);r.on("end",()=>{console.log(t);process.exit(0)});r.on("error",refused)});
    q.on("error",refused);q.end(${bytes === 0 ? "" : `Buffer.alloc(${bytes},0x20)`});`;
}
