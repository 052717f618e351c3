/** The pages of the site and their order. Each is a file of docs/; test/docs.test.ts sees that none is missing. */
export interface Section {
  readonly text: string;
  readonly items: readonly { readonly text: string; readonly link: string }[];
}

export const sidebar: readonly Section[] = [
  {
    text: "Begin",
    items: [
      { text: "Quick start", link: "/quick-start" },
      { text: "How each technique works", link: "/techniques" },
    ],
  },
  {
    text: "Run it",
    items: [
      { text: "Dashboard", link: "/dashboard" },
      { text: "Operations", link: "/operations" },
      { text: "Command line", link: "/cli" },
      { text: "Watching it", link: "/observability" },
      { text: "Refusals", link: "/errors" },
      { text: "Metrics", link: "/metrics" },
    ],
  },
  { text: "Program it", items: [{ text: "API and client", link: "/api" }] },
  {
    text: "How it is made",
    items: [
      { text: "The wire", link: "/wire" },
      { text: "Benchmarks", link: "/benchmarks" },
      { text: "KVM: when it is usable", link: "/decisions/0001-when-kvm-is-usable" },
      { text: "Post-copy and the hand-over", link: "/decisions/0002-post-copy-hand-over" },
      { text: "zstd inside Node", link: "/decisions/0003-zstd-inside-node" },
      { text: "Odd RAM under TCG", link: "/decisions/0004-odd-ram-under-tcg" },
      { text: "A run command that was never read", link: "/decisions/0005-a-run-command-never-read" },
      {
        text: "A page store that begins with the boot files",
        link: "/decisions/0006-boot-files-in-the-page-store",
      },
      { text: "A relay that waits", link: "/decisions/0007-a-relay-that-waits" },
      { text: "Measured before it is needed", link: "/decisions/0008-measured-before-it-is-needed" },
    ],
  },
];
