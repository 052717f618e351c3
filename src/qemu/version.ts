/** Which QEMU versions godwit drives. */
export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
}

export const OLDEST_QEMU: QemuVersion = { major: 7, minor: 2 };

export const isOlder = (a: QemuVersion, b: QemuVersion): boolean =>
  a.major < b.major || (a.major === b.major && a.minor < b.minor);

export const isSupported = (version: QemuVersion): boolean => !isOlder(version, OLDEST_QEMU);

/** "7.2.22" as host facts carry it; text that is no version counts as 0.0, which is never supported. */
export function parseVersion(text: string): QemuVersion {
  const match = /^(\d+)\.(\d+)/.exec(text);
  return { major: Number(match?.[1] ?? 0), minor: Number(match?.[2] ?? 0) };
}
