/** Where a replay stands: play, pause, scrub, speed. Time comes in as steps; nothing here reads a clock. */
export interface ReplayClock {
  readonly atMs: number;
  readonly endMs: number;
  readonly playing: boolean;
  readonly speed: number;
}

export const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16] as const;

export type ReplayMove =
  | { readonly do: "step"; readonly wallMs: number }
  | { readonly do: "play" }
  | { readonly do: "pause" }
  | { readonly do: "seek"; readonly atMs: number }
  | { readonly do: "speed"; readonly speed: number }
  | { readonly do: "length"; readonly endMs: number };

/** Long ones begin faster, so that any of them is seen within half a minute. */
export const START: ReplayClock = { atMs: 0, endMs: 0, playing: false, speed: 1 };
const WATCHED_MS = 30_000;

const within = (clock: ReplayClock, atMs: number): number => Math.min(Math.max(0, atMs), clock.endMs);

export function move(clock: ReplayClock, what: ReplayMove): ReplayClock {
  switch (what.do) {
    case "step": {
      if (!clock.playing) return clock;
      const atMs = within(clock, clock.atMs + what.wallMs * clock.speed);
      return { ...clock, atMs, playing: atMs < clock.endMs };
    }
    case "play":
      return { ...clock, playing: clock.endMs > 0, atMs: clock.atMs >= clock.endMs ? 0 : clock.atMs };
    case "pause":
      return { ...clock, playing: false };
    case "seek":
      return { ...clock, atMs: within(clock, what.atMs) };
    case "speed":
      return { ...clock, speed: what.speed };
    case "length":
      break;
  }
  const { endMs } = what;
  const speed = SPEEDS.find((one) => one >= 1 && endMs / one <= WATCHED_MS) ?? SPEEDS[SPEEDS.length - 1] ?? 1;
  return { ...clock, endMs, speed, atMs: Math.min(clock.atMs, endMs) };
}
