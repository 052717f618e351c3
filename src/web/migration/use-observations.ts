/** What observers outside saw reaches a report some seconds after the end, and no event tells: it is read again a while. */
import { useEffect, useRef } from "react";

import type { Report } from "../../api/report.ts";

const AGAIN_MS = 3_000;
const TIMES_MAX = 8;
/** Reports older than this have all they will get. */
const FRESH_MS = 60_000;

export function useObservations(report: Report | undefined, ask: () => void): void {
  const times = useRef(0);
  useEffect(() => {
    if (report === undefined || report.outcome !== "done" || report.metrics.downtime_ms.client !== null)
      return undefined;
    const endedMs = Date.parse(report.started_at) + (report.metrics.total_time_ms ?? 0);
    if (times.current >= TIMES_MAX || Date.now() - endedMs > FRESH_MS) return undefined;
    const timer = setTimeout(() => {
      times.current += 1;
      ask();
    }, AGAIN_MS);
    return () => clearTimeout(timer);
  }, [report, ask]);
}
