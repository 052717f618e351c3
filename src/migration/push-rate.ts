/**
 * How fast memory is pushed after a switch to post-copy. Decides one number per reading; the source's side sets it.
 *
 * Pages the guest waits for and pages that are pushed share one connection. Pushed at full speed they fill the
 * socket's buffer and the link's queue, and each page asked for waits behind them: 40 to 80 ms on a link of
 * 100 Mbit/s, so that even an idle guest, which needs some hundred pages to do anything, stood still for seconds.
 * So the push begins slowly and doubles while the guest asks for little. QEMU answers requests whatever the limit is.
 */

/** Keeps every queue empty on any link post-copy is fit for. */
export const PUSH_BYTES_PER_SECOND_MIN = 2 ** 20;
/** More new requests than this between two readings: the guest is still gathering what it works with. */
const REQUESTS_QUIET = 2;
/** A guest that touches all of its memory asks until the end; then moving everything fast is what helps it. */
export const PUSH_HELD_MS_MAX = 2_000;
/** Above this nothing is gained by counting: ten doublings. */
const PUSH_BYTES_PER_SECOND_MAX = 2 ** 30;

/** @param askedBytesPerSecond the bandwidth asked for; 0 means no limit, here as in QEMU */
export function firstPush(askedBytesPerSecond: number): number {
  return askedBytesPerSecond === 0
    ? PUSH_BYTES_PER_SECOND_MIN
    : Math.min(askedBytesPerSecond, PUSH_BYTES_PER_SECOND_MIN);
}

/** The push from now on. Once it is what was asked for, it stays. */
export function nextPush(
  nowBytesPerSecond: number,
  askedBytesPerSecond: number,
  newRequests: number,
  fetchingMs: number,
): number {
  if (nowBytesPerSecond === askedBytesPerSecond || fetchingMs >= PUSH_HELD_MS_MAX) return askedBytesPerSecond;
  if (newRequests > REQUESTS_QUIET) return nowBytesPerSecond;
  const doubled = nowBytesPerSecond * 2;
  const limit = askedBytesPerSecond === 0 ? PUSH_BYTES_PER_SECOND_MAX : askedBytesPerSecond;
  return doubled >= limit ? askedBytesPerSecond : doubled;
}
