import { defineConfig } from "vitest/config";

/**
 * Two projects. `unit` is fast and needs nothing but Node. `real` starts QEMU, network namespaces and agents:
 * one file at a time, because two cores carry at most one migration that is worth measuring.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: [
            "src/**/*.test.ts",
            "test/*.test.ts",
            "test/model/**/*.test.ts",
            "test/transcripts/**/*.test.ts",
          ],
          testTimeout: 30_000,
          // Those that wait for a deadline wait together.
          maxConcurrency: 20,
        },
      },
      {
        test: {
          name: "real",
          include: ["test/real/**/*.test.ts"],
          testTimeout: 180_000,
          hookTimeout: 300_000,
          fileParallelism: false,
          // Deadlines here wait for real processes; on a machine that other work starves one can pass. What is broken
          // fails twice.
          retry: 1,
          pool: "forks",
        },
      },
    ],
  },
});
