/** godwit stop: ends a VM's QEMU and forgets the VM. */
import type { Command } from "commander";

import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { plain, printResult } from "../output.ts";

export const stopCommand = (cli: Cli): Command =>
  withCommon(verb("stop", "", "godwit stop db-1"))
    .argument("<vm>", "the VM's name")
    .action(async (name: string, flags: CommonFlags) => {
      const { connect, findVm } = await import("../connect.ts");
      const { client } = await findVm(connect(cli, flags), name);
      const vm = await client.stop({ params: { name } });
      await printResult(cli, flags.output, vm, () => plain(`${vm.name} is stopped.`));
    });
