/** The Link header of a page: the same request, from the cursor on. */

export function nextLink(url: string, cursor: string): string {
  const [path = "", query = ""] = url.split("?", 2);
  const search = new URLSearchParams(query);
  search.set("cursor", cursor);
  return `<${path}?${search.toString()}>; rel="next"`;
}
