/** godwit host: certificates for a host (init), and what its agent knows (show). */
import type { Command } from "commander";

import { formatBytes } from "../../std/units.ts";
import type { Cli } from "../context.ts";
import { verb, withCommon, type CommonFlags } from "../options.ts";
import { printResult, renderTable } from "../output.ts";
import { agentPki } from "../rooms.ts";

interface InitFlags {
  readonly ca: string;
  readonly name: string;
  readonly address: readonly string[];
  readonly out: string;
}

export const hostCommand = (cli: Cli): Command =>
  verb("host", "", "godwit host init --name a --address 192.0.2.1", "godwit host show")
    .addCommand(initCommand(cli))
    .addCommand(showCommand(cli));

const initCommand = (cli: Cli): Command =>
  verb(
    "init",
    "make the CA if there is none, and a host's certificates signed by it",
    "godwit host init --name a --address 192.0.2.1 --ca ./ca --out ./pki-a",
  )
    .requiredOption("--name <host>", "the host's name, as its peers call it")
    .requiredOption("--address <address...>", "every address its peers reach it by")
    .option("--ca <folder>", "where the CA's key is, or will be made", "/etc/godwit/ca")
    .option("--out <folder>", "where the host's files go", "/etc/godwit/pki")
    .action(async (flags: InitFlags) => {
      const { existsSync } = await import("node:fs");
      const { initCa, issueHost } = await agentPki();
      if (!existsSync(flags.ca)) {
        await initCa(flags.ca);
        cli.say(`Made a CA in ${flags.ca}. Keep its key off the hosts.`);
      }
      await issueHost({ caDir: flags.ca, name: flags.name, addresses: flags.address, outDir: flags.out });
      cli.print(`Host ${flags.name}'s certificates are in ${flags.out}.`);
    });

const showCommand = (cli: Cli): Command =>
  withCommon(verb("show", "QEMU, memory and peers of a host", "godwit host show")).action(
    async (flags: CommonFlags) => {
      const { connect } = await import("../connect.ts");
      const host = await connect(cli, flags).client.host();
      const { facts } = host;
      await printResult(cli, flags.output, host, async () =>
        [
          await renderTable(
            ["HOST", "QEMU", "ACCELERATORS", "MEMORY FREE", "VCPUS", "POST-COPY"],
            [
              [
                facts.name,
                facts.qemu.version,
                facts.qemu.accelerators.join(", "),
                `${formatBytes(facts.memory.availableBytes)} of ${formatBytes(facts.memory.totalBytes)}`,
                String(facts.vcpus),
                facts.postCopyBlocker === "" ? "can arrive here" : facts.postCopyBlocker,
              ],
            ],
          ),
          await renderTable(
            ["PEER", "ADDRESS", "REACHABLE", "DETAIL"],
            host.peers.map((peer) => [peer.name, peer.address, peer.reachable ? "yes" : "no", peer.detail]),
          ),
        ].join("\n\n"),
      );
    },
  );
