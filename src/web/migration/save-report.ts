/** Hands the report to the person as a file, byte for byte what the agent has. */
import type { Report } from "../../api/report.ts";

export function saveReport(report: Report): void {
  const text = `${JSON.stringify(report, null, 2)}\n`;
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `godwit-${report.id}.json`;
  link.click();
  URL.revokeObjectURL(url);
}
