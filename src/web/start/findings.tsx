/** What pre-flight found: every blocker and warning with its cure, or that nothing is in the way. */
import { RefusalNote } from "../ui/refusal-note.tsx";
import { ToneLabel } from "../ui/tone.tsx";
import type { Check } from "./use-check.ts";

export function Findings({ check }: { readonly check: Check }) {
  return (
    <section
      className="gw-findings"
      aria-label="Pre-flight check"
      aria-live="polite"
      aria-busy={check.is === "asking"}
    >
      <h3>Pre-flight</h3>
      <Body check={check} />
    </section>
  );
}

/** The same in a word, beside the button; those who hear the page have heard it already. */
export function Verdict({ check }: { readonly check: Check }) {
  const blockers =
    check.is === "there" ? check.report.findings.filter(({ severity }) => severity === "blocker").length : 0;
  const words: Readonly<Record<Check["is"], string>> = {
    waiting: "a field above does not read",
    asking: "asking both hosts …",
    refused: "could not be made",
    there: blockers === 0 ? "clear" : `${blockers} in the way`,
  };
  const tone = check.is !== "there" ? "quiet" : blockers === 0 ? "good" : "bad";
  return (
    <span className="gw-verdict" aria-hidden="true">
      <ToneLabel tone={tone}>{`Pre-flight: ${words[check.is]}`}</ToneLabel>
    </span>
  );
}

function Body({ check }: { readonly check: Check }) {
  switch (check.is) {
    case "waiting":
      return <p>Checked as soon as every field above reads.</p>;
    case "asking":
      return (
        <p>
          <span className="gw-spinner" aria-hidden="true" /> Asking both hosts …
        </p>
      );
    case "refused":
      return <RefusalNote refusal={check.refusal} />;
    case "there":
      break;
  }
  const { findings, source, target, ok } = check.report;
  return (
    <>
      {findings.length === 0 ? (
        <p>
          <ToneLabel tone="good">{`Nothing is in the way from ${source} to ${target}.`}</ToneLabel>
        </p>
      ) : (
        <ul>
          {findings.map((finding) => (
            <li key={`${finding.code} ${finding.what}`}>
              <ToneLabel tone={finding.severity === "blocker" ? "bad" : "warn"}>{finding.severity}</ToneLabel>
              <span>
                {finding.what} <em>{finding.next}</em> <code>{finding.code}</code>
              </span>
            </li>
          ))}
        </ul>
      )}
      {ok || findings.length === 0 ? null : <p>Blockers must be cured first.</p>}
    </>
  );
}
