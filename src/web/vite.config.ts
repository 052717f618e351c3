/** How the dashboard is bundled: everything it needs comes from here, nothing from elsewhere at run time. */
import react from "@vitejs/plugin-react";
import { resolve } from "node:path";
import { defineConfig } from "vite";

export const WEB_OUT = resolve(import.meta.dirname, "../../dist/web");

export default defineConfig({
  root: import.meta.dirname,
  // Absolute: the agent answers with the page under every address a browser opens.
  base: "/",
  plugins: [react()],
  build: {
    outDir: WEB_OUT,
    emptyOutDir: true,
    manifest: true,
    target: "es2023",
    // An inlined font or icon would need data: in the Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
