/** godwit list: the VMs of this host and its peers. */
import type { Command } from "commander";

import { formatBytes } from "../../std/units.ts";
import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { printResult, renderTable } from "../output.ts";

export const listCommand = (cli: Cli): Command =>
  withCommon(verb("list", "", "godwit list")).action(async (flags: CommonFlags) => {
    const { connect } = await import("../connect.ts");
    const vms = await connect(cli, flags).client.vms({ query: { scope: "all" } });
    await printResult(cli, flags.output, vms, () =>
      renderTable(
        ["NAME", "HOST", "STATE", "OWNER", "MEMORY", "VCPUS", "ACCELERATOR", "MIGRATION"],
        vms.map((vm) => [
          vm.name,
          vm.host,
          vm.state,
          vm.owner,
          formatBytes(vm.memoryBytes),
          String(vm.vcpus),
          vm.accelerator,
          vm.migration ?? "-",
        ]),
        ["MEMORY", "VCPUS"],
      ),
    );
  });
