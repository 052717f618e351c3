/**
 * Who may do what: rights, the tokens that carry them, and what a caller is told about itself. Every route names the
 * right it needs; what no right allows is refused. How a token is stored and checked is the agent's.
 */
import { z } from "zod";

export const RIGHTS = ["read", "send-from-here", "receive-here", "administer"] as const;
/** `administer` contains the others; none of the others contains another. */
export const right = z.enum(RIGHTS);
export type Right = z.infer<typeof right>;

/** What a route asks of its caller: a right, or only to be known (`identity`), or nothing at all (`public`). */
export type Access = Right | "identity" | "public";

export const tokenName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,62}$/,
    "a token's name has 1 to 63 of a-z 0-9 . _ - and starts with a-z 0-9",
  );

export const TOKEN_LIFE_MS_MAX = 10 * 366 * 24 * 3600e3;

export const tokenRequest = z.strictObject({
  name: tokenName,
  rights: z
    .array(right)
    .min(1)
    .max(RIGHTS.length)
    .refine((rights) => new Set(rights).size === rights.length, "each right once"),
  /** Absent: it does not expire by itself. */
  expiresInMs: z.number().positive().max(TOKEN_LIFE_MS_MAX).optional(),
});
export type TokenRequest = z.infer<typeof tokenRequest>;

export const tokenView = z.strictObject({
  name: tokenName,
  rights: z.array(right),
  createdAt: z.iso.datetime(),
  /** Who made it. */
  createdBy: z.string(),
  expiresAt: z.iso.datetime().nullable(),
});
export type TokenView = z.infer<typeof tokenView>;

/** The only answer that holds the secret; the agent keeps its SHA-256. */
export const newToken = z.strictObject({ token: z.string(), ...tokenView.shape });
export type NewToken = z.infer<typeof newToken>;

export const whoami = z.strictObject({
  /** `socket`: this host's unix socket; `token`: a person or a program; `peer`: another host's agent. */
  kind: z.enum(["socket", "token", "peer"]),
  name: z.string(),
  rights: z.array(right),
  expiresAt: z.iso.datetime().nullable(),
  host: z.string(),
});
export type Whoami = z.infer<typeof whoami>;

export const allows = (rights: readonly Right[], needed: Access): boolean =>
  needed === "public" || needed === "identity" || rights.includes(needed) || rights.includes("administer");
