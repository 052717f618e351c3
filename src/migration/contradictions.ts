/**
 * Settings that contradict each other, each as a sentence with what to change. The shapes themselves are refused in
 * api/; what the hosts can do is checked by the agent.
 */
import { formatBytes, formatDuration } from "../std/units.ts";
import { migrateSettings } from "../api/migration.ts";
import type { MigrateSettings, PolicyAction } from "../api/migration.ts";

/** Defaults fill in what was not given; a value that differs from its default was given. */
const defaults = migrateSettings.parse({});

const given = (value: unknown, byDefault: unknown): boolean =>
  JSON.stringify(value) !== JSON.stringify(byDefault);

const ENDS: ReadonlySet<PolicyAction["do"]> = new Set(["cancel", "post-copy"]);

function fixedTechnique(settings: MigrateSettings): string[] {
  const { technique, stopRules, policy } = settings;
  const found: string[] = [];
  const why =
    technique === "post-copy"
      ? "fetches each page once and has no rounds"
      : "pauses the guest before the first round";
  const change = "Leave it out, or choose pre-copy or hybrid.";
  if (Object.values(stopRules).some((rule) => rule !== undefined)) {
    found.push(`A stop rule needs rounds, but ${technique} ${why}. ${change}`);
  }
  if (settings.adaptiveDowntimeCeilingMs !== undefined) {
    found.push(`Adaptive downtime learns from rounds, but ${technique} ${why}. ${change}`);
  }
  if (policy.initial.length > 0 || policy.convergence.length > 0) {
    found.push(`A policy ladder acts on rounds, but ${technique} ${why}. ${change}`);
  }
  if (technique === "post-copy" && settings.timeoutMs !== undefined) {
    found.push("A timeout cannot end a fetch: the guest already runs at the target. Leave the timeout out.");
  }
  if (technique === "stop-and-copy" && settings.maxDowntimeMs !== defaults.maxDowntimeMs) {
    found.push(
      `stop-and-copy pauses the guest for the whole copy and cannot keep a maximum downtime of ${formatDuration(settings.maxDowntimeMs)}. Leave it out, or choose pre-copy or hybrid.`,
    );
  }
  return found;
}

function ceilings({ maxDowntimeMs, adaptiveDowntimeCeilingMs, policy }: MigrateSettings): string[] {
  const found: string[] = [];
  const asked = formatDuration(maxDowntimeMs);
  if (adaptiveDowntimeCeilingMs !== undefined && adaptiveDowntimeCeilingMs < maxDowntimeMs) {
    found.push(
      `The adaptive ceiling of ${formatDuration(adaptiveDowntimeCeilingMs)} is below the maximum downtime of ${asked}, which is allowed already. Raise the ceiling or lower the maximum downtime.`,
    );
  }
  for (const action of allActions(policy)) {
    if (action.do === "force" && action.downtimeCeilingMs < maxDowntimeMs) {
      found.push(
        `A forced pause with a ceiling of ${formatDuration(action.downtimeCeilingMs)} can never be needed below the maximum downtime of ${asked}. Raise the ceiling or lower the maximum downtime.`,
      );
    }
  }
  return found;
}

const allActions = (policy: MigrateSettings["policy"]): readonly PolicyAction[] => [
  ...policy.initial,
  ...policy.convergence.map((item) => item.action),
  ...policy.last,
];

function ladderOrder({ policy }: MigrateSettings): string[] {
  const found: string[] = [];
  const lists: readonly (readonly [string, readonly PolicyAction[]])[] = [
    ["convergence", policy.convergence.map((item) => item.action)],
    ["last", policy.last],
  ];
  for (const [name, actions] of lists) {
    const end = actions.findIndex((action) => ENDS.has(action.do));
    const action = actions[end];
    if (action !== undefined && end < actions.length - 1) {
      found.push(
        `In the policy's ${name} items nothing can follow "${action.do}", which ends copying. Move it to the end.`,
      );
    }
  }
  const start = policy.initial.find((action) => ENDS.has(action.do));
  if (start !== undefined) {
    const instead = start.do === "cancel" ? "Remove it." : "Choose the technique post-copy instead.";
    found.push(`"${start.do}" as an initial item of the policy ends copying before it begins. ${instead}`);
  }
  const counts = policy.convergence.map((item) => item.stalledRounds);
  if (counts.some((count, index) => count < (counts[index - 1] ?? 0))) {
    found.push(
      `The policy's convergence items run in order, but their stalled rounds (${counts.join(", ")}) go down. Sort them.`,
    );
  }
  return found;
}

/** QEMU's own ways to carry a stream, which exclude each other and post-copy. */
function nativeWays({ wire, native }: MigrateSettings, mayFetch: boolean): string[] {
  if (native === undefined) return [];
  const found: string[] = [];
  const { channels, compression, xbzrleCacheBytes } = native;
  if (wire === "relay") {
    found.push(
      "QEMU's own settings for a direct stream (multifd, compression, XBZRLE) mean nothing through the relays. Leave them out, or choose wire direct.",
    );
  }
  if (channels > 0 && mayFetch) {
    found.push(
      "QEMU's multifd cannot fetch pages one by one, which post-copy does. Leave multifd out, or do without post-copy.",
    );
  }
  if (channels > 0 && xbzrleCacheBytes > 0) {
    found.push(
      "XBZRLE and multifd exclude each other: deltas need the order of one stream. Choose one of them.",
    );
  }
  if (compression !== "none" && channels === 0) {
    found.push(
      `QEMU compresses (${compression}) in multifd's channels only. Give it channels, or leave the compression out.`,
    );
  }
  if (compression === "zlib" && native.level > ZLIB_LEVEL_MAX) {
    found.push(
      `zlib has levels 0 to ${ZLIB_LEVEL_MAX}, not ${native.level}. Choose one of them, or zstd, which has up to 20.`,
    );
  }
  if (xbzrleCacheBytes > 0 && !isCacheSize(xbzrleCacheBytes)) {
    found.push(
      `XBZRLE's cache of ${formatBytes(xbzrleCacheBytes)} is not a power of two of at least 4 KiB, as QEMU wants it. Choose for example 64 MiB.`,
    );
  }
  return found;
}

const ZLIB_LEVEL_MAX = 9;
const PAGE_BYTES = 4096;

const isCacheSize = (bytes: number): boolean => bytes >= PAGE_BYTES && Number.isInteger(Math.log2(bytes));

/** Empty when the settings make sense together. */
export function contradictions(settings: MigrateSettings): string[] {
  const { technique, switchRule, stopRules, policy } = settings;
  const found: string[] = [];
  if (technique === "post-copy" || technique === "stop-and-copy") found.push(...fixedTechnique(settings));
  else found.push(...ceilings(settings));
  found.push(...ladderOrder(settings));

  // The default rule cannot be told from none, and does no harm: other techniques never look at it.
  if (technique !== "hybrid" && given(switchRule, defaults.switchRule)) {
    found.push(`A switch rule belongs to hybrid, not to ${technique}. Choose hybrid, or leave the rule out.`);
  }
  if (technique === "hybrid" && switchRule.when === "after-rounds" && stopRules.rounds !== undefined) {
    if (stopRules.rounds <= switchRule.rounds) {
      found.push(
        `The stop rule ends copying after ${stopRules.rounds} rounds, before hybrid switches after ${switchRule.rounds}. Raise the stop rule or lower the switch rule.`,
      );
    }
  }
  const fetches = technique === "post-copy" || technique === "hybrid";
  const mayFetch = fetches || allActions(policy).some((action) => action.do === "post-copy");
  found.push(...nativeWays(settings, mayFetch));
  if (settings.verifyMemory && mayFetch) {
    found.push(
      `Memory can only be compared while the guest is stopped with all of it on both hosts; ${fetches ? technique : "a policy with post-copy"} runs it before. Leave verifyMemory out, or do without post-copy.`,
    );
  }
  return found;
}
