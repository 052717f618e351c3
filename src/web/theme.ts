/** Light, dark, or as the system has it. Charts ask to be told, because they are drawn, not styled. */
export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEY = "godwit.theme";
const DARK_CLASS = "pf-v6-theme-dark";
const systemDark = (): MediaQueryList => matchMedia("(prefers-color-scheme: dark)");

export function storedTheme(): Theme {
  const stored = localStorage.getItem(KEY);
  return THEMES.find((theme) => theme === stored) ?? "system";
}

export function applyTheme(theme: Theme): void {
  const dark = theme === "dark" || (theme === "system" && systemDark().matches);
  document.documentElement.classList.toggle(DARK_CLASS, dark);
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
}

export function chooseTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  applyTheme(theme);
}

/** Calls back when the system changes its mind and nobody chose otherwise. */
export function followSystem(): () => void {
  const media = systemDark();
  const follow = (): void => applyTheme(storedTheme());
  media.addEventListener("change", follow);
  return () => media.removeEventListener("change", follow);
}

export function onThemeDrawn(listener: () => void): () => void {
  const watch = new MutationObserver(listener);
  watch.observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
  return () => watch.disconnect();
}
