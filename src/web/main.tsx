/** Starts the dashboard: takes the token out of the address, sets the theme, draws the first page. */
import "@patternfly/react-core/dist/styles/base.css";
import "./style/base.css";

import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { z } from "zod";

import { App } from "./app.tsx";
import { applyTheme, storedTheme } from "./theme.ts";
import { hashOfPath } from "./route.ts";
import { keepToken, tokenFromHash } from "./token.ts";

// Compiled checks need eval, which the Content-Security-Policy refuses.
z.config({ jitless: true });

applyTheme(storedTheme());
const brought = tokenFromHash(location.hash);
if (brought !== undefined) {
  keepToken(sessionStorage, brought.token);
  history.replaceState(null, "", `${location.pathname}${brought.rest === "#/" ? "" : brought.rest}`);
}

const direct = hashOfPath(location.pathname);
if (direct !== undefined) history.replaceState(null, "", `/${location.hash === "" ? direct : location.hash}`);

const root = document.getElementById("root");
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
