/** Several courses on one time axis, each beginning at zero: at every moment of any, what each last was. */
import type { Report } from "../../api/report.ts";
import type { ChartData } from "../migration/series.ts";
import type { Reading, Trail } from "../state/trail.ts";

export interface Course {
  readonly report: Report;
  readonly trail: Trail;
}

export function overlay(courses: readonly Course[], pick: (reading: Reading) => number): ChartData {
  const times = [...new Set(courses.flatMap(({ trail }) => trail.map((one) => one.elapsedMs)))].sort(
    (a, b) => a - b,
  );
  return {
    seconds: times.map((ms) => ms / 1000),
    lines: courses.map(({ report, trail }, index) => ({
      label: `${report.vm}, ${report.technique}`,
      color: `--gw-compare-${index}`,
      values: valuesAt(trail, times, pick),
    })),
    summary: courses
      .map(
        ({ report, trail }) =>
          `${report.vm} took ${((trail.at(-1)?.elapsedMs ?? 0) / 1000).toFixed(1)} seconds`,
      )
      .join("; "),
  };
}

/** Null before a course began and after it ended. */
function valuesAt(
  trail: Trail,
  times: readonly number[],
  pick: (reading: Reading) => number,
): (number | null)[] {
  const end = trail.at(-1)?.elapsedMs ?? -1;
  let next = 0;
  let last: number | null = null;
  return times.map((time) => {
    for (
      let reading = trail[next];
      reading !== undefined && reading.elapsedMs <= time;
      reading = trail[next]
    ) {
      last = reading.phase === "preparing" ? null : pick(reading);
      next += 1;
    }
    return time > end ? null : last;
  });
}
