/**
 * Long lists come in pages: `limit` and an opaque `cursor`, the next cursor in the body and as a Link header. A cursor
 * names the last item seen, so that news at the front never shifts a page.
 */
import { z } from "zod";

export const PAGE_ITEMS_MAX = 1000;
const PAGE_ITEMS_DEFAULT = 100;
const CURSOR_CHARS_MAX = 256;

export const cursor = z.string().min(1).max(CURSOR_CHARS_MAX);

export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(PAGE_ITEMS_MAX).default(PAGE_ITEMS_DEFAULT),
  cursor: cursor.optional(),
} as const;

/** `next` is the cursor of the page after this one; null on the last. */
export const pageOf = <T extends z.ZodType>(item: T) =>
  z.strictObject({ items: z.array(item).max(PAGE_ITEMS_MAX), next: cursor.nullable() });

export interface Page<T> {
  readonly items: T[];
  readonly next: string | null;
}
