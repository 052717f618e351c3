/** What a host is set up from: the unit and the example configuration, judged by systemd and by the agent. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { readConfig } from "../src/agent/config.ts";
import { CONFIG_FILE } from "../src/cli/commands/agent.ts";
import { HOST_SOCKET } from "../src/cli/connect.ts";
import { packaged } from "../src/doctor/packaged.ts";
import { ROOT } from "./sources.ts";

/** systemd's own measure, from 0 to 10; a service without any hardening has 9.6. */
const EXPOSURE_MAX = 5;

const unit = readFileSync(packaged.unit, "utf8");
const setting = (key: string): string | undefined => new RegExp(`^${key}=(.*)$`, "m").exec(unit)?.[1];
const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;

describe("the agent's unit", () => {
  test("leaves QEMUs and relays running when the agent is stopped or killed", () => {
    expect(setting("KillMode")).toBe("process");
    expect(setting("OOMPolicy")).toBe("continue");
    expect(setting("RuntimeDirectoryPreserve")).toBe("yes");
    expect(setting("PrivateTmp")).toBeUndefined();
  });

  test("believes only the agent itself", () => {
    expect(setting("Type")).toBe("notify");
    expect(setting("NotifyAccess")).toBe("main");
  });

  test("starts the agent with the configuration everybody else looks at", () => {
    expect(setting("ExecStart")).toBe(`godwit agent --config ${CONFIG_FILE}`);
    expect(setting("ConditionPathExists")).toBe(CONFIG_FILE);
  });

  describe.skipIf(!hasSystemd)("in systemd's eyes", () => {
    let folder: string;
    let file: string;
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), "godwit-unit-"));
      file = join(folder, "godwit-agent.service");
      // Not installed here: systemd would miss the program.
      writeFileSync(file, unit.replace("ExecStart=godwit ", `ExecStart=${join(ROOT, "bin/godwit")} `));
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    test("is without a fault", () => {
      const { status, stderr } = spawnSync("systemd-analyze", ["verify", "--man=no", file], {
        encoding: "utf8",
      });
      // It looks at this machine's other units too.
      expect(stderr.split("\n").filter((line) => line.includes("godwit-agent"))).toEqual([]);
      expect(status).toBe(0);
    });

    test(`is exposed less than ${EXPOSURE_MAX}`, () => {
      const told = execFileSync("systemd-analyze", ["security", "--offline=true", "--no-pager", file], {
        encoding: "utf8",
      });
      expect(Number(/exposure level for \S+ (\d+\.\d)/.exec(told)?.[1])).toBeLessThan(EXPOSURE_MAX);
    });
  });
});

test("the example configuration is one the agent takes, at the places the command line looks", () => {
  const config = readConfig(packaged.exampleConfig);
  expect(config.socket).toBe(HOST_SOCKET);
  expect(config.stateDir).toBe(`/var/lib/${setting("StateDirectory")}`);
  expect(config.socket).toContain(`/run/${setting("RuntimeDirectory")}/`);
});
