/** What a target may ask for is bounded, and a page that is here passes the others in any case. */
import { beforeEach, expect, it } from "vitest";

import { PAGE_BYTES } from "../page/types.ts";
import { Backlog } from "./backlog.ts";
import { WANTED_PAGES_MAX } from "./limits.ts";
import { PostCopyOrder } from "./post-copy-order.ts";

const PAGES = 2 * WANTED_PAGES_MAX;
let order: PostCopyOrder;
beforeEach(() => {
  order = new PostCopyOrder(new Backlog({ copyPage: () => {}, base: PAGE_BYTES, zeroPage: 0 }));
  order.begin([{ name: "pc.ram", usedBytes: PAGES * PAGE_BYTES }]);
});

it("remembers no more pages than the limit, of one request or of many", () => {
  order.want(0, 0, PAGES * PAGE_BYTES);
  expect(order.wantedPages).toBe(WANTED_PAGES_MAX);
  for (let page = 0; page < PAGES; page += 1000) order.want(0, page * PAGE_BYTES, 1000 * PAGE_BYTES);
  expect(order.wantedPages).toBe(WANTED_PAGES_MAX);
});

it("looks at no more pages of one request than it could remember", () => {
  const last = PAGES - 1;
  order.got(PAGE_BYTES, 0, last * PAGE_BYTES);
  order.want(0, 0, PAGES * PAGE_BYTES);
  expect(order.hasUrgent).toBe(false);
  order.want(0, last * PAGE_BYTES, PAGE_BYTES);
  expect(order.hasUrgent).toBe(true);
});

it("lets a page that is here pass, however many are remembered", () => {
  order.want(0, 0, WANTED_PAGES_MAX * PAGE_BYTES);
  const late = WANTED_PAGES_MAX + 7;
  order.got(PAGE_BYTES, 0, late * PAGE_BYTES);
  order.want(0, late * PAGE_BYTES, PAGE_BYTES);
  const sent: number[] = [];
  order.send(
    true,
    4,
    (_position, _block, offset) => sent.push(offset / PAGE_BYTES) > 0,
    () => {},
  );
  expect(sent).toEqual([late]);
});
