/**
 * A copy process made of arithmetic, for telling stories to the deciding code. It keeps what is true of real ones:
 * a round sends what the last one left dirty; a guest that writes at random over its working set has
 * ws * (1 - exp(-rate * t / ws)) distinct bytes dirty after t; the copier reads the dirty log when little seems to
 * remain, and pauses by itself when what it read fits the pause allowed; a throttle takes the guest's writing time.
 */
import type { CopySample, CopyView, Decision, Round, Technique } from "../../src/migration/types.ts";
import { freshMemory } from "../../src/migration/types.ts";
import type { MigrateSettings } from "../../src/api/migration.ts";
import { formatBytes, formatDuration, formatRate } from "../../src/std/units.ts";

export interface Guest {
  readonly ramBytes: number;
  readonly workingSetBytes: number;
  readonly writeBytesPerSecond: number;
  readonly linkBytesPerSecond: number;
  /** Write rate as a function of time, for guests that change their mind. */
  readonly writeShareAt?: (nowMs: number) => number;
}

const TICK_MS = 100;
const STORY_MS_MAX = 45_000;

/** As the agent tells QEMU's auto-converge: a third of the ceiling at first, and for each round that still dirties too much. */
const THROTTLE_STEPS = 3;

/** Everything asked and answered, for property tests; `lines` is the story for people. */
export interface Story {
  readonly lines: readonly string[];
  readonly said: readonly { readonly view: CopyView; readonly decision: Decision }[];
  readonly end: "paused-by-copier" | "pause" | "fetch" | "give-up" | "endless";
  readonly pausedBytes: number;
}

export function tell(technique: Technique, settings: MigrateSettings, guest: Guest): Story {
  const opening = technique.opening(settings);
  const lines = [
    `${technique.name}: ${formatBytes(guest.ramBytes)} RAM, working set ${formatBytes(guest.workingSetBytes)}, ` +
      `guest writes ${formatRate(guest.writeBytesPerSecond)}, link moves ${formatRate(guest.linkBytesPerSecond)}`,
    opening.pauseFirst
      ? "opening: pause first"
      : opening.fetchAtOnce
        ? "opening: fetch at once"
        : `opening: the copier may pause for ${formatDuration(opening.downtimeLimitMs)}`,
  ];
  const said: { view: CopyView; decision: Decision }[] = [];
  const rounds: Round[] = [];
  let memory = freshMemory;
  let nowMs = 0;
  let roundStartMs = 0;
  let roundSent = 0;
  let sentBytes = 0;
  let remaining = guest.ramBytes;
  let dirtyRate = 0;
  let downtimeLimitMs = opening.downtimeLimitMs;
  let throttle = 0;
  let throttleMax = 0;
  const paused = opening.pauseFirst;
  if (opening.fetchAtOnce) {
    lines.push(`fetched in ${formatDuration((guest.ramBytes * 1000) / guest.linkBytesPerSecond)}`);
    return { lines, said, end: "fetch", pausedBytes: 0 };
  }

  const stamp = (text: string): void => {
    lines.push(`${formatDuration(nowMs).padStart(9)}  ${text}`);
  };
  const finish = (end: Story["end"], pausedBytes: number): Story => {
    const ms = (pausedBytes * 1000) / guest.linkBytesPerSecond;
    if (end === "endless") stamp("still copying; the story ends here");
    else if (end === "fetch") stamp(`fetched ${formatBytes(pausedBytes)} in ${formatDuration(ms)}`);
    else if (end !== "give-up")
      stamp(`paused for ${formatBytes(pausedBytes)}: ${formatDuration(ms)} of memory`);
    return { lines, said, end, pausedBytes };
  };

  while (nowMs < STORY_MS_MAX) {
    nowMs += TICK_MS;
    const sent = Math.min(remaining, (guest.linkBytesPerSecond * TICK_MS) / 1000);
    remaining -= sent;
    sentBytes += sent;
    roundSent += sent;
    const writeRate = paused
      ? 0
      : guest.writeBytesPerSecond * (1 - throttle / 100) * (guest.writeShareAt?.(nowMs) ?? 1);
    const roundMs = nowMs - roundStartMs;
    const written =
      guest.workingSetBytes === 0
        ? 0
        : guest.workingSetBytes * (1 - Math.exp((-writeRate * roundMs) / 1000 / guest.workingSetBytes));
    // Writing what is still to be sent makes nothing dirty anew.
    const stillToSend = Math.min(
      1,
      remaining / (rounds.length === 0 ? guest.ramBytes : Math.max(1, guest.workingSetBytes)),
    );
    const thresholdBytes = (guest.linkBytesPerSecond * downtimeLimitMs) / 1000;
    const trulyDirty = remaining + written * (1 - stillToSend);

    const roundEnds = !paused && remaining <= thresholdBytes;
    if (roundEnds) {
      dirtyRate = (written * 1000) / roundMs;
      if (throttleMax > 0 && trulyDirty * 2 > roundSent) {
        throttle = Math.min(throttleMax, throttle + Math.ceil(throttleMax / THROTTLE_STEPS));
      }
      rounds.push({
        round: rounds.length + 1,
        startMs: roundStartMs,
        durationMs: roundMs,
        sentBytes: roundSent,
        dirtyBytes: Math.round(trulyDirty),
        dirtyBytesPerSecond: Math.round(dirtyRate),
        sendBytesPerSecond: Math.round((roundSent * 1000) / roundMs),
        throttlePercent: throttle,
      });
      stamp(
        `round ${rounds.length} ends: ${formatBytes(roundSent)} sent, ${formatBytes(trulyDirty)} dirty${throttle > 0 ? `, throttled ${throttle} %` : ""}`,
      );
      remaining = trulyDirty;
      roundStartMs = nowMs;
      roundSent = 0;
    }

    const sample: CopySample = {
      round: rounds.length + 1,
      ramBytes: guest.ramBytes,
      sentBytes: Math.round(sentBytes),
      remainingBytes: Math.round(remaining),
      sendBytesPerSecond: guest.linkBytesPerSecond,
      dirtyBytesPerSecond: Math.round(dirtyRate),
      throttlePercent: throttle,
      downtimeLimitMs,
    };
    if (paused ? remaining <= 0 : roundEnds && remaining <= thresholdBytes) {
      if (paused) {
        stamp("everything is sent");
        return finish("paused-by-copier", guest.ramBytes);
      }
      stamp(`the copier switches over by itself, ${formatDuration(downtimeLimitMs)} allowed`);
      return finish("paused-by-copier", remaining);
    }
    const view: CopyView = { nowMs, startedAtMs: 0, rounds: [...rounds], sample };
    const answer = technique.decide(view, settings, memory);
    memory = answer.memory;
    said.push({ view, decision: answer.decision });
    switch (answer.decision.do) {
      case "continue":
        break;
      case "set-downtime":
        downtimeLimitMs = answer.decision.downtimeMs;
        stamp(`SET-DOWNTIME ${formatDuration(downtimeLimitMs)}. ${answer.decision.because}`);
        break;
      case "throttle":
        throttleMax = answer.decision.percentMax;
        stamp(`THROTTLE ${throttleMax} %. ${answer.decision.because}`);
        break;
      case "pause":
        stamp(`PAUSE. ${answer.decision.because}`);
        return finish("pause", roundEnds ? remaining : trulyDirty);
      case "fetch":
        stamp(`FETCH. ${answer.decision.because}`);
        return finish("fetch", roundEnds ? remaining : trulyDirty);
      case "give-up":
        stamp(`GIVE UP (${answer.decision.outcome}). ${answer.decision.because}`);
        return finish("give-up", 0);
    }
  }
  return finish("endless", 0);
}
