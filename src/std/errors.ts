/**
 * Every refusal godwit can give: one class, one catalogue.
 *
 * A code exists only where a caller branches on it. Its entry says what happened (from the details), the HTTP
 * status and exit code it maps to, and what to do next. A released code is never reused. `docs/errors.md` is
 * compared with this table by a test.
 */

import { type Details, type Entry, ExitCode, s } from "./error-entry.ts";
import { accessErrors } from "./errors-access.ts";

export { ExitCode };

export const catalogue = {
  // ---- what the user typed
  USAGE: {
    status: 400,
    exit: ExitCode.usage,
    what: (d) => s(d, "problem"),
    next: (d) =>
      d["next"] === undefined ? "Run the command with --help for an example that works." : s(d, "next"),
  },
  UNIT_MISSING: {
    status: 400,
    exit: ExitCode.usage,
    what: (d) => `"${s(d, "text")}" is not a ${s(d, "quantity")}: a unit is needed.`,
    next: (d) => `Write it with a unit, for example ${s(d, "examples")}.`,
  },
  REQUEST_INVALID: {
    status: 400,
    exit: ExitCode.usage,
    what: (d) => `The request is not valid: ${s(d, "problem")}`,
    next: () => "Correct the named field; the shapes are in schemas/ and in the served OpenAPI document.",
  },
  SPEC_INVALID: {
    status: 400,
    exit: ExitCode.usage,
    what: (d) => `The machine spec ${s(d, "file")} is not valid: ${s(d, "problem")}`,
    next: () => "Correct the named key; schemas/machine.schema.json lists every key.",
  },
  // ---- things that are not there, or there already
  VM_UNKNOWN: {
    status: 404,
    exit: ExitCode.usage,
    what: (d) => `No VM named ${s(d, "vm")} is known to ${s(d, "where")}.`,
    next: () => "godwit list shows the VMs that exist.",
  },
  VM_ELSEWHERE: {
    status: 409,
    exit: ExitCode.usage,
    what: (d) => `VM ${s(d, "vm")} does not run here; it is on host ${s(d, "host")}.`,
    next: (d) => `Ask that host: add --host ${s(d, "host")}.`,
  },
  VM_EXISTS: {
    status: 409,
    exit: ExitCode.usage,
    what: (d) => `Host ${s(d, "host")} already has a VM named ${s(d, "vm")}.`,
    next: () => "Choose another name, or stop that VM first.",
  },
  VM_BUSY: {
    status: 409,
    exit: ExitCode.blocked,
    what: (d) => `VM ${s(d, "vm")} is already migrating (${s(d, "migration")}).`,
    next: (d) => `godwit watch ${s(d, "migration")} follows it; godwit cancel ${s(d, "migration")} stops it.`,
  },
  HOST_UNKNOWN: {
    status: 404,
    exit: ExitCode.usage,
    what: (d) => `No host named ${s(d, "host")} is known here. Known: ${s(d, "known")}.`,
    next: () => "Add the host to the agent's peers, or correct the name.",
  },
  SAME_HOST: {
    status: 400,
    exit: ExitCode.usage,
    what: (d) => `Source and target are both ${s(d, "host")}.`,
    next: () => "Name another host with --to.",
  },
  MIGRATION_UNKNOWN: {
    status: 404,
    exit: ExitCode.usage,
    what: (d) => `No migration ${s(d, "migration")} is known here.`,
    next: () => "godwit history lists them.",
  },
  NOT_FOUND: {
    status: 404,
    exit: ExitCode.usage,
    what: (d) => `There is nothing at ${s(d, "path")}.`,
    next: () => "The served OpenAPI document lists every path.",
  },
  ...accessErrors,
  // ---- pre-flight and technique
  CHECK_FAILED: {
    status: 409,
    exit: ExitCode.blocked,
    what: (d) => `Pre-flight found ${s(d, "count")} problem(s): ${s(d, "problems")}`,
    next: () => "Each problem names its cure; godwit check shows them all.",
  },
  TOO_LATE: {
    status: 409,
    exit: ExitCode.failed,
    what: (d) => `Migration ${s(d, "migration")} is ${s(d, "phase")}; it can no longer be cancelled.`,
    next: (d) => `The VM ends at the target; godwit watch ${s(d, "migration")} follows it.`,
  },
  NOTHING_TO_RECOVER: {
    status: 409,
    exit: ExitCode.usage,
    what: (d) => `Migration ${s(d, "migration")} is ${s(d, "phase")}: there is nothing to recover.`,
    next: () => "godwit status shows what each migration is waiting for.",
  },
  // ---- QEMU
  QEMU_MISSING: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) => `QEMU was not found (${s(d, "binary")}).`,
    next: () => "Install it: apt-get install qemu-system-x86",
  },
  QEMU_TOO_OLD: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) => `QEMU ${s(d, "version")} is too old; 7.2 or newer is needed.`,
    next: () => "Install QEMU 7.2 or newer (Debian 12 has it).",
  },
  QEMU_EXITED: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) => `QEMU of VM ${s(d, "vm")} ended (${s(d, "how")}). Its last words: ${s(d, "log")}`,
    next: () => "The full text is in the VM's qemu.log on that host.",
  },
  QMP_REFUSED: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) => `QEMU refused ${s(d, "command")}: ${s(d, "desc")}`,
    next: () => "The text is QEMU's own; check the VM and its configuration.",
  },
  QMP_LOST: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) => `The monitor connection was lost during ${s(d, "command")}.`,
    next: () => "See whether QEMU still runs; its log is in the VM's folder.",
  },
  QMP_TIMEOUT: {
    status: 504,
    exit: ExitCode.failed,
    what: (d) => `QEMU did not answer ${s(d, "command")} within ${s(d, "timeoutMs")} ms.`,
    next: () => "See whether QEMU is hung; its log is in the VM's folder.",
  },
  QMP_PROTOCOL: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) => `This is not QMP: ${s(d, "problem")}`,
    next: () => "See which program owns that socket.",
  },
  // ---- QEMU's migration stream
  STREAM_INVALID: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) =>
      `This is not QEMU's migration stream: at byte ${s(d, "offset")}, expected ${s(d, "expected")}.`,
    next: () => "See that the QEMU is a stock one, 7.2 or newer; godwit frames shows a recorded stream.",
  },
  STREAM_LIMIT: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) =>
      `The stream asks for too much at byte ${s(d, "offset")}: ${s(d, "value")} ${s(d, "what")}, where ${s(d, "limit")} are allowed.`,
    next: () => "See what wrote it; a stock QEMU stays far below every limit.",
  },
  // ---- the other host
  PEER_UNREACHABLE: {
    status: 502,
    exit: ExitCode.failed,
    what: (d) => `Host ${s(d, "host")} cannot be reached: ${s(d, "why")}`,
    next: () => "See that its agent runs, that the address is right and the firewall lets it through.",
  },
  PEER_REFUSED: {
    status: 502,
    exit: ExitCode.failed,
    what: (d) => `Host ${s(d, "host")} refused: ${s(d, "why")}`,
    next: (d) => (d["next"] === undefined ? "Cure it on that host and try again." : s(d, "next")),
  },
  PEER_GARBAGE: {
    status: 502,
    exit: ExitCode.failed,
    what: (d) => `Host ${s(d, "host")} answered something that is not godwit's: ${s(d, "problem")}`,
    next: () => "See what listens at that address, and that both sides run compatible versions.",
  },
  PEER_STALLED: {
    status: 504,
    exit: ExitCode.failed,
    what: (d) => `Host ${s(d, "host")} did not answer within ${s(d, "waited")}.`,
    next: () => "See that the host is alive and the link is up, then try again.",
  },
  PEER_UNTRUSTED: {
    status: 403,
    exit: ExitCode.failed,
    what: (d) => `The other side's certificate is not accepted: ${s(d, "why")}`,
    next: () => "Make both hosts' certificates with the same CA: godwit host init.",
  },
  // ---- between two relays
  WIRE_VERSION: {
    status: 502,
    exit: ExitCode.failed,
    what: (d) =>
      `The other relay speaks version ${s(d, "got")} of the wire; this one speaks ${s(d, "want")}.`,
    next: () => "Install the same version of godwit on both hosts, or migrate without relays: --wire direct.",
  },
  WIRE_GARBAGE: {
    status: 502,
    exit: ExitCode.failed,
    what: (d) => `The other relay sent something that no relay sends: ${s(d, "problem")}.`,
    next: () => "See what listens at that address, and that both hosts run the same version of godwit.",
  },
  WIRE_DAMAGED: {
    status: 502,
    exit: ExitCode.failed,
    what: (d) => `What the other relay sent arrived changed: ${s(d, "what")} does not match its check.`,
    next: () => "Nothing of it was used. Try again; if it happens again, test the memory of both hosts.",
  },
  LINK_LOST: {
    status: 502,
    exit: ExitCode.failed,
    what: (d) => `The connection between the relays broke: ${s(d, "why")}`,
    next: () =>
      "See whether the link and the other relay are up; before the hand-over, simply migrate again.",
  },
  QEMU_CLOSED: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) => `QEMU at the ${s(d, "side")} closed its migration socket ${s(d, "when")}.`,
    next: () => "Its own reason is in query-migrate, or in qemu.log on that host.",
  },
  // ---- this host
  AGENT_UNREACHABLE: {
    status: 503,
    exit: ExitCode.failed,
    what: (d) => `No agent answers at ${s(d, "socket")}.`,
    next: () => "Start one: godwit agent (or, to try things out: godwit lab up).",
  },
  DISK_FULL: {
    status: 507,
    exit: ExitCode.failed,
    what: (d) => `The disk is full while writing ${s(d, "what")}.`,
    next: () => "Make room; nothing was changed.",
  },
  STATE_NEWER: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) =>
      `${s(d, "file")} was written by a newer godwit (version ${s(d, "version")} of its tables; this one knows ${s(d, "known")}).`,
    next: () => "Install that version again, or a newer one; nothing was changed.",
  },
  NEEDS_ROOT: {
    status: 403,
    exit: ExitCode.usage,
    what: (d) => `${s(d, "what")} needs root.`,
    next: (d) => s(d, "command"),
  },
  LAB_UNKNOWN: {
    status: 404,
    exit: ExitCode.usage,
    what: (d) => `No lab named ${s(d, "lab")} is up.`,
    next: () => "godwit lab up makes one; godwit lab list shows those that exist.",
  },
  LAB_EXISTS: {
    status: 409,
    exit: ExitCode.usage,
    what: (d) => `A lab named ${s(d, "lab")} is up already.`,
    next: () => "godwit lab down removes it; --name makes another beside it.",
  },
  TOOL_FAILED: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) => `${s(d, "command")} failed: ${s(d, "why")}`,
    next: () => "The text is that tool's own.",
  },
  INTERNAL: {
    status: 500,
    exit: ExitCode.failed,
    what: (d) => `A fault inside godwit: ${s(d, "problem")}`,
    next: () => "Please report it with the agent's log.",
  },
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof catalogue;

/** A refusal with a stable code. `message` is the sentence for people, `next` what to do about it. */
export class CodedError extends Error {
  override readonly name = "CodedError";
  readonly code: ErrorCode;
  readonly details: Details;

  constructor(code: ErrorCode, details: Details = {}, options?: ErrorOptions) {
    super(catalogue[code].what(details), options);
    this.code = code;
    this.details = details;
  }

  get next(): string {
    return (catalogue[this.code] as Entry).next(this.details);
  }
  get status(): number {
    return catalogue[this.code].status;
  }
  get exit(): ExitCode {
    return catalogue[this.code].exit;
  }
}

export const isErrorCode = (text: string): text is ErrorCode => Object.hasOwn(catalogue, text);

/** Anything thrown, as a CodedError: our own pass through, a full disk is named, the rest is INTERNAL. */
export function toCodedError(error: unknown): CodedError {
  if (error instanceof CodedError) return error;
  const cause = error instanceof Error ? error : new Error(String(error));
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === "ENOSPC" || code === "EDQUOT" || /database or disk is full/.test(cause.message)) {
    return new CodedError(
      "DISK_FULL",
      { what: (cause as NodeJS.ErrnoException).path ?? "its state" },
      { cause },
    );
  }
  return new CodedError("INTERNAL", { problem: cause.message }, { cause });
}
