/**
 * Which page an address means. Addresses live behind the #, where a token in them never leaves the browser; the API's own
 * paths, opened in a browser, lead to the page about the same thing.
 */

export type Page =
  | { readonly page: "fleet" }
  | { readonly page: "history" }
  | { readonly page: "audit" }
  | { readonly page: "migration"; readonly id: string }
  | { readonly page: "replay"; readonly id: string }
  | { readonly page: "compare"; readonly ids: readonly string[] }
  | { readonly page: "unknown"; readonly hash: string };

export const COMPARED_MAX = 6;
const ID = /^[a-z0-9-]{1,64}$/;

export function parseRoute(hash: string): Page {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [head = "", id = "", tail] = path.split("/");
  if (head === "" || head === "fleet") return { page: "fleet" };
  if (head === "history" && id === "") return { page: "history" };
  if (head === "audit" && id === "") return { page: "audit" };
  if (head === "migrations" && ID.test(id) && tail === undefined) return { page: "migration", id };
  if (head === "migrations" && ID.test(id) && tail === "replay") return { page: "replay", id };
  if (head === "compare") {
    const ids = (new URLSearchParams(query).get("ids") ?? "").split(",").filter((one) => ID.test(one));
    return { page: "compare", ids: [...new Set(ids)].slice(0, COMPARED_MAX) };
  }
  return { page: "unknown", hash };
}

/** "/migrations/m-1", as an agent's Location has it, as an address of the dashboard; undefined for the address itself. */
export function hashOfPath(path: string): string | undefined {
  if (path === "/" || path === "" || path === "/index.html") return undefined;
  const page = parseRoute(`#${path.replace(/\/+$/, "").replace(/\/(report|recording)$/, "")}`);
  if (page.page === "unknown") return path === "/migrations" ? "#/history" : "#/";
  return hrefOf(page);
}

export function hrefOf(page: Page): string {
  switch (page.page) {
    case "fleet":
      return "#/";
    case "migration":
      return `#/migrations/${page.id}`;
    case "replay":
      return `#/migrations/${page.id}/replay`;
    case "compare":
      return `#/compare?ids=${page.ids.join(",")}`;
    case "unknown":
      return page.hash;
    default:
      return `#/${page.page}`;
  }
}

export function titleOf(page: Page): string {
  switch (page.page) {
    case "fleet":
      return "Hosts and VMs";
    case "history":
      return "History";
    case "audit":
      return "Audit";
    case "compare":
      return "Compare migrations";
    case "migration":
      return `Migration ${page.id}`;
    case "replay":
      return `Replay of ${page.id}`;
    case "unknown":
      break;
  }
  page satisfies { page: "unknown" };
  return "Not a page";
}
