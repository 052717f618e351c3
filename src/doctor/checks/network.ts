/** The guests' network: tap devices, the program that makes them, and a bridge to put them on. */
import { accessSync, constants, existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";

import { fine, warning, type Check, type Verdict } from "../types.ts";

interface NetworkFacts {
  readonly tun: boolean;
  readonly ip: boolean;
  readonly bridges: readonly string[];
}

/** Root's tools are not on everybody's PATH. */
const SBIN = ["/usr/sbin", "/sbin"];
const INTERFACES = "/sys/class/net";

function onPath(program: string): boolean {
  return [...(process.env["PATH"] ?? "").split(delimiter), ...SBIN].some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function* judge({ tun, ip, bridges }: NetworkFacts): Generator<Verdict> {
  if (!ip) yield warning("The program ip is missing.", "apt-get install --no-install-recommends iproute2");
  if (!tun) yield warning("There is no /dev/net/tun: no VM can be put on a bridge.", "modprobe tun");
  if (bridges.length === 0) {
    yield warning(
      "There is no bridge: VMs have only the network inside QEMU, whose connections end when they move.",
      "ip link add br0 type bridge && ip link set br0 up",
    );
  } else if (ip && tun) yield fine(`VMs can be put on ${bridges.join(", ")}.`);
}

export const network: Check<NetworkFacts> = {
  name: "network",
  gather: () => ({
    tun: existsSync("/dev/net/tun"),
    ip: onPath("ip"),
    bridges: readdirSync(INTERFACES).filter((name) => existsSync(join(INTERFACES, name, "bridge"))),
  }),
  judge: (facts) => [...judge(facts)],
};
