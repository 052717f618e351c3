/**
 * The three metadata functions that @peculiar/x509's injector (tsyringe) asks of Reflect, and refuses to load without.
 * It keeps no metadata that we depend on, so a map per object is all of it. Import this file before @peculiar/x509.
 */
type Metadata = Map<unknown, unknown>;
const kept = new WeakMap<object, Metadata>();

const own = (key: unknown, target: object): unknown => kept.get(target)?.get(key);

function inherited(key: unknown, target: object): unknown {
  for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    const value = own(key, at);
    if (value !== undefined) return value;
  }
  return undefined;
}

function define(key: unknown, value: unknown, target: object): void {
  const metadata: Metadata = kept.get(target) ?? new Map();
  metadata.set(key, value);
  kept.set(target, metadata);
}

if (!("getMetadata" in Reflect)) {
  Object.assign(Reflect, { defineMetadata: define, getMetadata: inherited, getOwnMetadata: own });
}
