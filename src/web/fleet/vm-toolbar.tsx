/** Finding VMs: words, a host, and states to press. */
import { SearchField, SelectField } from "../ui/fields.tsx";
import { VM_STATES, type VmView } from "../../api/host.ts";
import { STATE_TONES } from "../words.ts";
import type { VmFilter, VmState } from "./select.ts";

interface Props {
  readonly filter: VmFilter;
  readonly rows: readonly VmView[];
  readonly hosts: readonly string[];
  readonly onChange: (filter: VmFilter) => void;
}

export function VmToolbar({ filter, rows, hosts, onChange }: Props) {
  const toggle = (state: VmState): void => {
    const states = new Set(filter.states);
    if (!states.delete(state)) states.add(state);
    onChange({ ...filter, states });
  };
  return (
    <div className="gw-toolbar" role="search" aria-label="Find VMs">
      <SearchField
        label="Name, host, state or label"
        value={filter.text}
        onChange={(text) => onChange({ ...filter, text })}
      />
      <SelectField
        label="Host"
        value={filter.host ?? ""}
        options={[["", "All hosts"], ...hosts.map((name): [string, string] => [name, name])]}
        onChange={(name) => onChange({ ...filter, host: name === "" ? undefined : name })}
      />
      <div className="gw-chips" role="group" aria-label="States">
        {VM_STATES.map((state) => {
          const count = rows.filter((vm) => vm.state === state).length;
          if (count === 0 && !filter.states.has(state)) return null;
          return (
            <button
              key={state}
              type="button"
              className="gw-chip"
              data-tone={STATE_TONES[state]}
              aria-pressed={filter.states.has(state)}
              onClick={() => toggle(state)}
            >
              {state} <span className="gw-number">{count}</span>
            </button>
          );
        })}
      </div>
    </div>
  );
}
