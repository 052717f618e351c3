/** Every VM as a row; a row opens what can be done with it: follow its migration, or start one. */
import { Button } from "@patternfly/react-core/dist/esm/components/Button";

import type { VmView } from "../../api/host.ts";
import { formatBytes } from "../../std/units.ts";
import { hrefOf } from "../route.ts";
import { useRight } from "../session.ts";
import { ToneLabel } from "../ui/tone.tsx";
import { VirtualTable, type Column } from "../ui/virtual-table.tsx";
import { STATE_TONES } from "../words.ts";
import { whyNot } from "./select.ts";

interface Props {
  readonly rows: readonly VmView[];
  readonly here: string | undefined;
  readonly onStart: (vm: VmView) => void;
  readonly onClear: () => void;
}

export function VmTable({ rows, here, onStart, onClear }: Props) {
  const mayStart = useRight("send-from-here");
  const open = (vm: VmView): void => {
    if (vm.migration !== null) location.hash = hrefOf({ page: "migration", id: vm.migration });
    else if (mayStart && whyNot(vm, here) === "") onStart(vm);
  };
  const columns: readonly Column<VmView>[] = [
    {
      key: "name",
      head: "Name",
      width: "2 1 6rem",
      cell: (vm) => (
        <>
          <strong>{vm.name}</strong>
          <small className="gw-narrow">{vm.host}</small>
        </>
      ),
    },
    { key: "host", head: "Host", width: "1 1 5rem", from: "medium", cell: (vm) => vm.host },
    {
      key: "state",
      head: "State",
      width: "1 0 6.4rem",
      cell: (vm) => <ToneLabel tone={STATE_TONES[vm.state]}>{vm.state}</ToneLabel>,
    },
    {
      key: "memory",
      head: "Memory",
      width: "0 0 6rem",
      numeric: true,
      from: "medium",
      cell: (vm) => formatBytes(vm.memoryBytes),
    },
    { key: "vcpus", head: "vCPUs", width: "0 0 5rem", numeric: true, from: "wide", cell: (vm) => vm.vcpus },
    {
      key: "accelerator",
      head: "Accelerator",
      width: "0 0 7rem",
      from: "wide",
      cell: (vm) => vm.accelerator.toUpperCase(),
    },
    {
      key: "act",
      head: "Action",
      width: "0 1 8.5rem",
      cell: (vm) => (
        <Act
          vm={vm}
          why={mayStart ? whyNot(vm, here) : "This token may not start migrations."}
          onStart={onStart}
        />
      ),
    },
  ];
  return (
    <VirtualTable
      label="Virtual machines"
      columns={columns}
      rows={rows}
      keyOf={(vm) => `${vm.host}/${vm.name}`}
      onOpen={open}
      empty={
        <>
          <h3>No VM fits</h3>
          <p>Nothing here has all that was asked for.</p>
          <Button variant="link" onClick={onClear}>
            Show all
          </Button>
        </>
      }
    />
  );
}

interface ActProps {
  readonly vm: VmView;
  readonly why: string;
  readonly onStart: (vm: VmView) => void;
}

function Act({ vm, why, onStart }: ActProps) {
  if (vm.migration !== null) {
    return (
      <a
        href={hrefOf({ page: "migration", id: vm.migration })}
        aria-label={`Watch the migration of ${vm.name}`}
      >
        Watch
      </a>
    );
  }
  if (why !== "") {
    return (
      <small title={why} className="gw-why">
        {why}
      </small>
    );
  }
  return (
    <Button variant="secondary" size="sm" aria-label={`Migrate ${vm.name}`} onClick={() => onStart(vm)}>
      Migrate …
    </Button>
  );
}
