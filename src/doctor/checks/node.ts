/** Node: the version that runs this very program. */
import { blocker, fine, type Check } from "../types.ts";

const MAJOR_MIN = 24;

export const node: Check<{ readonly version: string }> = {
  name: "node",
  gather: () => ({ version: process.versions.node }),
  judge: ({ version }) => [
    Number.parseInt(version, 10) >= MAJOR_MIN
      ? fine(`Node ${version}.`)
      : blocker(`Node ${version} is too old.`, `Install Node ${MAJOR_MIN} or newer: https://nodejs.org`),
  ],
};
