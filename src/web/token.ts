/**
 * The bearer token: brought by the address that `godwit demo --web` prints, or pasted. It is kept for this tab only,
 * and leaves the address at once, so that it stands in no history and no bookmark.
 */

/** RFC 6750's b64token; longer than any we issue is not one. */
const TOKEN = /^[A-Za-z0-9\-._~+/]{8,4096}=*$/;
const KEY = "godwit.token";

export const looksLikeToken = (text: string): boolean => TOKEN.test(text.trim());

/** Takes the token out of "#token=…", and says where the page goes on. */
export function tokenFromHash(hash: string): { readonly token: string; readonly rest: string } | undefined {
  const match = /^#\/?token=([^&]*)(?:&to=(.*))?$/.exec(hash);
  if (match?.[1] === undefined) return undefined;
  let token: string;
  try {
    token = decodeURIComponent(match[1]);
  } catch {
    return undefined;
  }
  if (!looksLikeToken(token)) return undefined;
  return { token: token.trim(), rest: `#${match[2] ?? "/"}` };
}

export interface Shelf {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export const storedToken = (shelf: Shelf): string | undefined => shelf.getItem(KEY) ?? undefined;
export const keepToken = (shelf: Shelf, token: string): void => shelf.setItem(KEY, token.trim());
export const forgetToken = (shelf: Shelf): void => shelf.removeItem(KEY);
