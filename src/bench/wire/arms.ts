/**
 * The ways a migration's bytes may travel: one table. The stock arms are what QEMU has to offer, each with the settings
 * a well-informed operator would choose for the link; pause asked for, timeout, TLS and the rule that ends copying are
 * the same for all arms.
 */
import { pick } from "../pick.ts";
import type { Settings } from "../moves.ts";
import { RAM_BYTES } from "./contents.ts";
import type { Link } from "./links.ts";

export interface WireArm {
  readonly name: string;
  /** For the result document: what this arm is. */
  readonly shows: string;
  /** QEMU alone: what the others are compared with. */
  readonly stock: boolean;
  readonly settings: Settings;
  /** Who moves before it, unmeasured and by the same settings. */
  readonly before: Before;
}

/**
 * What the hosts know when the run begins: nothing; what the guest itself left when it moved to where it now comes back
 * from; or what another guest, started from the same image with data of its own, left that moved ahead of it.
 */
export type Before = "nobody" | "itself" | "sibling";

export const PAUSE_ASKED_MS = 300;
const TIMEOUT_MS_MIN = 30_000;
/** Copying ends after as long as this many copies of the whole RAM take. */
const TIMEOUT_COPIES = 3;
/**
 * Two to four are the advice for multifd; more than there are cores only adds switching, and the machines campaigns
 * run on have two.
 */
export const MULTIFD_CHANNELS = 2;
/** As large as the guest: nothing is ever evicted, so XBZRLE has all it can have. */
export const XBZRLE_CACHE_BYTES = RAM_BYTES;

type Native = NonNullable<Settings["native"]>;

type Arm = Omit<WireArm, "name">;

const stock = (shows: string, native: Native): Arm => ({
  shows,
  stock: true,
  before: "nobody",
  settings: { technique: "pre-copy", wire: "direct", native },
});

const ours = (
  wire: "direct" | "relay" | "auto",
  shows: string,
  technique: "pre-copy" | "post-copy" | "auto" = "pre-copy",
): Arm => ({
  shows,
  stock: false,
  before: "nobody",
  settings: { technique, wire },
});

const zstd = (level: number): Native => ({ channels: MULTIFD_CHANNELS, compression: "zstd", level });

const ARMS: Readonly<Record<string, Arm>> = {
  "qemu-default": stock("one stream, nothing switched on", { channels: 0 }),
  xbzrle: stock("one stream, deltas of pages sent before, with a cache as large as the guest", {
    channels: 0,
    xbzrleCacheBytes: XBZRLE_CACHE_BYTES,
  }),
  multifd: stock(`${MULTIFD_CHANNELS} connections, pages as they are`, { channels: MULTIFD_CHANNELS }),
  "multifd-zstd1": stock(`${MULTIFD_CHANNELS} connections, zstd level 1`, zstd(1)),
  "multifd-zstd3": stock(`${MULTIFD_CHANNELS} connections, zstd level 3`, zstd(3)),
  "post-copy": {
    shows: "one stream, the guest runs at the target at once",
    stock: true,
    before: "nobody",
    settings: { technique: "post-copy", wire: "direct", native: { channels: 0 } },
  },
  direct: ours("direct", "QEMU to QEMU, with the settings the agent chooses"),
  relay: ours("relay", "through the pair of relays"),
  "relay-post-copy": ours(
    "relay",
    "through the pair of relays, the guest runs at the target at once",
    "post-copy",
  ),
  auto: ours("auto", "the technique and the way the agent chooses by what it measured", "auto"),
  "relay-return": {
    ...ours("relay", "the guest comes back: through the relays, with what the move there left in the stores"),
    before: "itself",
  },
  "relay-sibling": {
    ...ours(
      "relay",
      "another guest of the same image moved ahead: through the relays, with what it left there",
    ),
    before: "sibling",
  },
};

export const wireArmNames: readonly string[] = Object.keys(ARMS);

/** Undefined for an arm that an older file of runs names. */
export const armNamed = (name: string): Arm | undefined => ARMS[name];

export const timeoutMsFor = (link: Link): number =>
  link.bytesPerSecond === null
    ? TIMEOUT_MS_MIN
    : Math.max(TIMEOUT_MS_MIN, Math.ceil((TIMEOUT_COPIES * RAM_BYTES * 1000) / link.bytesPerSecond));

/** @throws CodedError USAGE naming those there are. */
export const wireArmsFor = (names: readonly string[], link: Link): readonly WireArm[] =>
  pick("arm", ARMS, names).map(([name, arm]) => ({
    name,
    ...arm,
    settings: {
      ...arm.settings,
      maxDowntimeMs: PAUSE_ASKED_MS,
      // A fetch that has begun cannot be taken back, so it has no timeout.
      ...(arm.settings.technique === "post-copy" ? {} : { timeoutMs: timeoutMsFor(link) }),
    },
  }));
