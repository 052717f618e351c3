/** Light, dark or as the system: one button that goes round. */
import { useState } from "react";

import { chooseTheme, storedTheme, THEMES, type Theme } from "../theme.ts";

const WORDS: Readonly<Record<Theme, string>> = { system: "System", light: "Light", dark: "Dark" };
const SIGNS: Readonly<Record<Theme, string>> = { system: "◐", light: "○", dark: "●" };

export function ThemeSwitch() {
  const [theme, setTheme] = useState(storedTheme);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length] ?? "system";
  return (
    <button
      type="button"
      className="gw-plain"
      title={`Theme: ${WORDS[theme]}. Click for ${WORDS[next]}.`}
      aria-label={`Theme: ${WORDS[theme]}. Change to ${WORDS[next]}`}
      onClick={() => {
        chooseTheme(next);
        setTheme(next);
      }}
    >
      <span aria-hidden="true">{SIGNS[theme]}</span>
    </button>
  );
}
