/** Post-copy: whether memory can be fetched while a guest runs here, asked of QEMU itself. */
import { DEFAULT_BINARY, postCopyBlocker } from "../../qemu/probe.ts";
import { fine, warning, type Check } from "../types.ts";

export const postCopy: Check<{ readonly reason: string }> = {
  name: "post-copy",
  gather: async ({ config }) => ({ reason: await postCopyBlocker(config?.qemu ?? DEFAULT_BINARY) }),
  judge: ({ reason }) => [
    reason === ""
      ? fine("Post-copy can arrive here (userfaultfd).")
      : warning(`Post-copy cannot arrive here: ${reason}`, "sysctl -w vm.unprivileged_userfaultfd=1"),
  ],
};
