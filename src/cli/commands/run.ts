/** godwit run: starts a VM from a YAML machine spec. */
import type { Command } from "commander";

import { CodedError } from "../../std/errors.ts";
import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { plain, printResult } from "../output.ts";

export const runCommand = (cli: Cli): Command =>
  withCommon(verb("run", "", "godwit run db-1.yaml --host a"))
    .argument("<spec.yaml>", "the machine spec (schemas/machine.schema.json)")
    .action(async (file: string, flags: CommonFlags) => {
      const machine = await readSpec(file);
      const { connect } = await import("../connect.ts");
      const vm = await connect(cli, flags).client.run({ body: machine });
      await printResult(cli, flags.output, vm, () => plain(`${vm.name} is ${vm.state} on ${vm.host}.`));
    });

async function readSpec(file: string) {
  const { readFile } = await import("node:fs/promises");
  const { parse } = await import("yaml");
  const { machineSpec } = await import("../../api/machine.ts");
  const { sentence } = await import("../migrate-flags.ts");
  let value: unknown;
  try {
    value = parse(await readFile(file, "utf8"));
  } catch (error) {
    throw new CodedError("SPEC_INVALID", { file, problem: (error as Error).message }, { cause: error });
  }
  const machine = machineSpec.safeParse(value);
  if (!machine.success) throw new CodedError("SPEC_INVALID", { file, problem: sentence(machine.error) });
  return machine.data;
}
