import { describe, expect, it } from "vitest";

import { machineSpec } from "../api/machine.ts";
import { type ArgsOptions, checkedSocketPath, qemuArgs } from "./args.ts";

const options = (spec: object, rest: Partial<ArgsOptions> = {}): ArgsOptions => ({
  machine: machineSpec.parse({
    apiVersion: "godwit/v1",
    kind: "Machine",
    metadata: { name: "db-1" },
    spec: { memory: "512MiB", ...spec },
  }),
  accelerator: "tcg",
  dir: "/var/lib/godwit/vms/db-1",
  incoming: false,
  forwardAddress: "10.1.0.1",
  taps: [],
  ...rest,
});

describe("qemuArgs", () => {
  it("is this, word for word, for a VM with everything", () => {
    const full = options(
      {
        vcpus: 2,
        kernel: "/boot/vmlinuz",
        initrd: "/boot/initrd",
        cmdline: "console=ttyS0 quiet",
        disks: [
          { path: "/srv/a,b.raw", shared: true },
          { path: "/srv/tools.qcow2", format: "qcow2", readonly: true, shared: true },
        ],
        nics: [
          { bridge: "br0", mac: "52:54:00:00:00:01" },
          {
            bridge: "user",
            mac: "52:54:00:00:00:02",
            forward: [
              { protocol: "tcp", hostPort: 6379, guestPort: 6379 },
              { protocol: "udp", hostPort: 7001, guestPort: 7000 },
            ],
          },
        ],
      },
      { incoming: true, taps: ["gw0"], tls: { dir: "/etc/godwit/pki", endpoint: "server" } },
    );
    expect(qemuArgs(full).join("\n")).toMatchInlineSnapshot(`
      "-nodefaults
      -no-user-config
      -display
      none
      -msg
      timestamp=on
      -name
      guest=db-1,process=godwit-db-1
      -machine
      pc-q35-7.2,accel=tcg
      -cpu
      qemu64
      -smp
      cpus=2
      -m
      size=536879104B
      -kernel
      /boot/vmlinuz
      -initrd
      /boot/initrd
      -append
      console=ttyS0 quiet
      -blockdev
      {"driver":"raw","node-name":"disk0","read-only":false,"file":{"driver":"file","filename":"/srv/a,b.raw","read-only":false}}
      -device
      virtio-blk-pci,id=blk0,drive=disk0,bus=pcie.0,addr=0x0c
      -blockdev
      {"driver":"qcow2","node-name":"disk1","read-only":true,"file":{"driver":"file","filename":"/srv/tools.qcow2","read-only":true}}
      -device
      virtio-blk-pci,id=blk1,drive=disk1,bus=pcie.0,addr=0x0d
      -netdev
      tap,id=net0,ifname=gw0,script=no,downscript=no
      -device
      virtio-net-pci,id=nic0,netdev=net0,mac=52:54:00:00:00:01,romfile=,bus=pcie.0,addr=0x04
      -netdev
      user,id=net1,hostfwd=tcp:10.1.0.1:6379-:6379,hostfwd=udp:10.1.0.1:7001-:7000
      -device
      virtio-net-pci,id=nic1,netdev=net1,mac=52:54:00:00:00:02,romfile=,bus=pcie.0,addr=0x05
      -chardev
      socket,id=console,path=/var/lib/godwit/vms/db-1/console.sock,server=on,wait=off,logfile=/var/lib/godwit/vms/db-1/console.log,logappend=on
      -serial
      chardev:console
      -chardev
      socket,id=qmp,path=/var/lib/godwit/vms/db-1/qmp.sock,server=on,wait=off
      -mon
      chardev=qmp,mode=control
      -object
      {"qom-type":"tls-creds-x509","id":"godwit","dir":"/etc/godwit/pki","endpoint":"server","verify-peer":true,"priority":"NORMAL:-VERS-ALL:+VERS-TLS1.3"}
      -incoming
      defer
      -S"
    `);
  });

  it("is the same machine on both hosts: only the incoming side's own words differ", () => {
    const spec = { nics: [{ bridge: "br0", mac: "52:54:00:00:00:01" }] };
    const source = qemuArgs(options(spec, { taps: ["gwa0"] }));
    const target = qemuArgs(options(spec, { taps: ["gwb0"], incoming: true, dir: "/elsewhere" }));
    const guestVisible = (args: string[]): string[] =>
      args.filter((_word, index) =>
        ["-machine", "-cpu", "-smp", "-m", "-device", "-kernel", "-append"].includes(args[index - 1] ?? ""),
      );
    expect(guestVisible(target)).toEqual(guestVisible(source));
    expect(target.slice(-3)).toEqual(["-incoming", "defer", "-S"]);
    expect(source).not.toContain("-S");
  });

  it("boots from its first disk without a kernel, and places devices on the machine's own bus", () => {
    const disks = [{ path: "/a" }, { path: "/b" }];
    const args = qemuArgs(options({ disks, machine: "pc-i440fx-7.2" }));
    expect(args.filter((word) => word.startsWith("virtio-blk"))).toEqual([
      "virtio-blk-pci,id=blk0,drive=disk0,bus=pci.0,addr=0x0c,bootindex=0",
      "virtio-blk-pci,id=blk1,drive=disk1,bus=pci.0,addr=0x0d",
    ]);
    expect(args).not.toContain("-kernel");
  });
});

describe("a socket path", () => {
  it("is refused with the reason when the system could not hold it", () => {
    expect(checkedSocketPath(`/${"a".repeat(106)}`)).toHaveLength(107);
    expect(() => checkedSocketPath(`/${"ä".repeat(54)}`)).toThrow("longer than the 107 bytes");
  });
});

describe("a NIC spec", () => {
  it("has forwards on the user bridge only", () => {
    const forward = [{ protocol: "tcp", hostPort: 1, guestPort: 1 }];
    const mac = "52:54:00:00:00:01";
    expect(() => options({ nics: [{ bridge: "br0", mac, forward }] })).toThrow("forwards exist only");
    expect(() => options({ nics: [{ bridge: "br0,script=x", mac }] })).toThrow("network device");
    expect(options({ nics: [{ bridge: "user", mac, forward }] }).machine.spec.nics[0]?.forward).toEqual(
      forward,
    );
  });
});
