/** KVM: usable by the rule of docs/decisions/0001-when-kvm-is-usable.md, and if not, what stands in the way. */
import { existsSync } from "node:fs";

import { accelerators, hostVirtualisation, type HostVirtualisation } from "../../qemu/probe.ts";
import { fine, warning, type Check, type Verdict } from "../types.ts";

interface KvmFacts extends HostVirtualisation {
  readonly deviceExists: boolean;
}

function judgeOne(facts: KvmFacts): Verdict {
  if (accelerators(facts).includes("kvm")) return fine("KVM is usable.");
  const slow = "VMs are emulated (TCG), many times slower";
  if (!/^flags\s*:.*\b(vmx|svm)\b/m.test(facts.cpuinfo)) {
    return warning(
      `The CPU offers no virtualisation (neither vmx nor svm): ${slow}.`,
      "Turn on VT-x or AMD-V in the firmware; on a virtual machine, nested virtualisation at its host.",
    );
  }
  if (!facts.deviceExists) {
    const module = /\bsvm\b/.test(facts.cpuinfo) ? "kvm_amd" : "kvm_intel";
    return warning(`There is no /dev/kvm: ${slow}.`, `modprobe ${module}`);
  }
  return warning(`/dev/kvm does not open for this user: ${slow}.`, "usermod -aG kvm $USER");
}

export const kvm: Check<KvmFacts> = {
  name: "kvm",
  gather: () => ({ ...hostVirtualisation(), deviceExists: existsSync("/dev/kvm") }),
  judge: (facts) => [judgeOne(facts)],
};
