/** The configuration section's parts. They say what the machine and its capabilities add to the format. */
import type { Cursor, Joiner } from "./bytes.ts";
import { CAPABILITIES_MAX, PAGE_BITS_MAX, PAGE_BITS_MIN } from "./limits.ts";
import { BYTE, type ConfigurationPart } from "./types.ts";

const UUID_BYTES = 16;

export type ParsedPart = ConfigurationPart | { readonly name: "unknown"; readonly text: string };

export function parseConfigurationPart(cursor: Cursor): ParsedPart | undefined {
  cursor.u8();
  const name = cursor.str8();
  const version = cursor.u32();
  const part = body(name, version, cursor);
  return cursor.short ? undefined : part;
}

function body(name: string, version: number, cursor: Cursor): ParsedPart {
  switch (name) {
    case "configuration/target-page-bits": {
      const bits = cursor.u32();
      cursor.expect(
        bits >= PAGE_BITS_MIN && bits <= PAGE_BITS_MAX,
        `${PAGE_BITS_MIN} to ${PAGE_BITS_MAX} page bits`,
      );
      return { name, version, bits };
    }
    case "configuration/capabilities": {
      const count = cursor.u32();
      cursor.limit(count, CAPABILITIES_MAX, "capabilities");
      const capabilities: string[] = [];
      while (!cursor.short && capabilities.length < count) capabilities.push(cursor.str8());
      return { name, version, capabilities };
    }
    case "configuration/uuid":
      return { name, version, uuid: cursor.copy(UUID_BYTES) };
    default:
      return { name: "unknown", text: name };
  }
}

export function writeConfigurationPart(out: Joiner, part: ConfigurationPart): void {
  out.u8(BYTE.subsection).str8(part.name).u32(part.version);
  if ("bits" in part) out.u32(part.bits);
  if ("uuid" in part) out.raw(part.uuid);
  if (!("capabilities" in part)) return;
  out.u32(part.capabilities.length);
  for (const name of part.capabilities) out.str8(name);
}
