/** The frame around every page: landmarks, ways between pages, the connection, the theme, and where focus goes. */
import { lazy, Suspense, useEffect, useRef, useSyncExternalStore } from "react";

import { ConnectionBar, ConnectionState } from "./ui/connection.tsx";
import { ErrorGuard } from "./ui/error-guard.tsx";
import logo from "./ui/godwit.svg";
import { Loading } from "./ui/loading.tsx";
import { ThemeSwitch } from "./ui/theme-switch.tsx";
import { FleetPage } from "./fleet/fleet-page.tsx";
import { hrefOf, parseRoute, titleOf, type Page } from "./route.ts";
import { useKnown, useRight } from "./session.ts";

const MigrationPage = lazy(() => import("./migration/migration-page.tsx"));
const HistoryPage = lazy(() => import("./history/history-page.tsx"));
const ComparePage = lazy(() => import("./compare/compare-page.tsx"));
const ReplayPage = lazy(() => import("./replay/replay-page.tsx"));
const AuditPage = lazy(() => import("./audit/audit-page.tsx"));

const onHash = (listener: () => void): (() => void) => {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
};
const useHash = (): string => useSyncExternalStore(onHash, () => location.hash);

export function Shell({ onForget }: { readonly onForget: () => void }) {
  const hash = useHash();
  const page = parseRoute(hash);
  const main = useRef<HTMLElement>(null);
  const shown = useRef(hash);
  useEffect(() => {
    if (shown.current === hash) return;
    shown.current = hash;
    // A new page begins at its top, for eyes and for screen readers alike.
    main.current?.focus();
    scrollTo(0, 0);
  }, [hash]);
  return (
    <>
      <title>{`${titleOf(page)} · godwit`}</title>
      <a
        className="gw-skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the page
      </a>
      <Header page={page} onForget={onForget} />
      <ConnectionBar />
      <main id="main" ref={main} tabIndex={-1} className="gw-main">
        <ErrorGuard key={hash}>
          <Suspense fallback={<Loading what="the page" />}>
            <PageOf page={page} />
          </Suspense>
        </ErrorGuard>
      </main>
    </>
  );
}

function Header({ page, onForget }: { readonly page: Page; readonly onForget: () => void }) {
  const mayAudit = useRight("administer");
  const me = useKnown((state) => state.me);
  const link = (to: Page, words: string, current: boolean) => (
    <a href={hrefOf(to)} aria-current={current ? "page" : undefined}>
      {words}
    </a>
  );
  return (
    <header className="gw-header">
      <a className="gw-brand" href="#/" aria-label="godwit: hosts and VMs">
        <img src={logo} alt="" width={28} height={28} />
        <span>godwit</span>
      </a>
      <nav aria-label="Pages">
        {link({ page: "fleet" }, "Fleet", page.page === "fleet")}
        {link({ page: "history" }, "History", page.page === "history" || page.page === "compare")}
        {mayAudit ? link({ page: "audit" }, "Audit", page.page === "audit") : null}
      </nav>
      <div className="gw-header-end">
        <ConnectionState />
        <ThemeSwitch />
        <button type="button" className="gw-plain" onClick={onForget} title="Forget the token of this tab">
          {me === undefined ? "Leave" : `Leave (${me.name})`}
        </button>
      </div>
    </header>
  );
}

function PageOf({ page }: { readonly page: Page }) {
  switch (page.page) {
    case "fleet":
      return <FleetPage />;
    case "history":
      return <HistoryPage />;
    case "audit":
      return <AuditPage />;
    case "compare":
      return <ComparePage ids={page.ids} />;
    case "migration":
      return <MigrationPage key={page.id} id={page.id} />;
    case "replay":
      return <ReplayPage key={page.id} id={page.id} />;
    case "unknown":
      break;
  }
  page satisfies { page: "unknown" };
  return (
    <section className="gw-empty">
      <h1>There is no such page</h1>
      <p>
        <a href="#/">All hosts and VMs</a>
      </p>
    </section>
  );
}
