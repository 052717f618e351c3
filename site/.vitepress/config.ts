/** The site made of docs/: `cd site && npm install --no-save && npm run build`, then serve site/.vitepress/dist. */
import { defineConfig } from "vitepress";

import { sidebar } from "../sidebar.ts";

export default defineConfig({
  title: "godwit",
  description: "Live migration of virtual machines for stock QEMU/KVM",
  lang: "en",
  // A copy of docs/, made by `npm run build`: what pages are compiled to looks for its modules beside them.
  srcDir: "pages",
  // Any folder of any server, or a file system.
  base: process.env["SITE_BASE"] ?? "/",
  cleanUrls: false,
  // Raw figures of benchmarks are for programs.
  srcExclude: ["benchmarks/**"],
  // Links to files of the repository that are not pages; test/docs.test.ts sees that they exist.
  ignoreDeadLinks: [/^(\.\.?\/)+(README|ARCHITECTURE|CHANGELOG|schemas|deploy|src)/, /^\.\/benchmarks\//],
  themeConfig: {
    nav: [
      { text: "Quick start", link: "/quick-start" },
      { text: "Command line", link: "/cli" },
    ],
    sidebar: sidebar.map((section) => ({ ...section, items: [...section.items] })),
    search: { provider: "local" },
    outline: [2, 3],
    footer: { message: "Apache-2.0" },
  },
});
