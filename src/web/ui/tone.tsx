/** A word in its tone: colour, and a sign for those who do not see the colour. */
import type { Tone } from "../words.ts";

const SIGNS: Readonly<Record<Tone, string>> = {
  moving: "▸",
  paused: "‖",
  fetching: "⇣",
  good: "✓",
  bad: "✕",
  warn: "!",
  quiet: "·",
};

export function ToneLabel({ tone, children }: { readonly tone: Tone; readonly children: string }) {
  return (
    <span className="gw-tone" data-tone={tone}>
      <span aria-hidden="true">{SIGNS[tone]}</span>
      {children}
    </span>
  );
}
