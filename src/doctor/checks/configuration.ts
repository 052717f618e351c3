/** The agent's configuration: there and valid. What it names is the other checks' business. */
import { existsSync } from "node:fs";

import { packaged } from "../packaged.ts";
import { blocker, fine, warning, type Check, type Verdict } from "../types.ts";

interface ConfigurationFacts {
  readonly file: string;
  readonly exists: boolean;
  readonly problem: string;
  /** An example to begin with. */
  readonly example: string;
}

function judge({ file, exists, problem, example }: ConfigurationFacts): Verdict {
  if (problem === "") return fine(`${file} is valid.`);
  // A host that only runs labs needs none.
  if (!exists)
    return warning(`There is no ${file}: no agent can start.`, `install -D -m 600 ${example} ${file}`);
  return blocker(problem, `Correct ${file}; ${example} shows every key.`);
}

export const configuration: Check<ConfigurationFacts> = {
  name: "configuration",
  gather: ({ configFile, configProblem }) => ({
    file: configFile,
    exists: existsSync(configFile),
    problem: configProblem,
    example: packaged.exampleConfig,
  }),
  judge: (facts) => [judge(facts)],
};
