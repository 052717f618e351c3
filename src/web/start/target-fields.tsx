/** Where to and how: target, technique with what it means, and the way of the bytes. */
import { FormGroup } from "@patternfly/react-core/dist/esm/components/Form";
import { FormSelect, FormSelectOption } from "@patternfly/react-core/dist/esm/components/FormSelect";

import type { PeerView } from "../../api/host.ts";
import { TECHNIQUE_CHOICES } from "../../api/migration.ts";
import { WIRES, type WireChoice } from "../../api/wire.ts";
import { TECHNIQUE_WORDS } from "../words.ts";
import type { StartForm } from "./form.ts";

interface Props {
  readonly form: StartForm;
  readonly peers: readonly PeerView[];
  readonly onChange: (form: StartForm) => void;
}

const WIRE_WORDS: Readonly<Record<WireChoice, string>> = {
  auto: "auto: whichever measurement favours",
  direct: "direct: from QEMU to QEMU",
  relay: "relay: each content crosses once, compressed",
};

export function TargetFields({ form, peers, onChange }: Props) {
  return (
    <>
      <div className="gw-form-row">
        <FormGroup label="Target" fieldId="start-target" isRequired>
          <FormSelect
            id="start-target"
            value={form.target}
            onChange={(_, target) => onChange({ ...form, target })}
          >
            {peers.length === 0 ? <FormSelectOption value="" label="no other host is known" /> : null}
            {peers.map(({ name, reachable }) => (
              <FormSelectOption
                key={name}
                value={name}
                label={reachable ? name : `${name} (not reachable)`}
              />
            ))}
          </FormSelect>
        </FormGroup>
        <FormGroup label="Wire" fieldId="start-wire">
          <FormSelect
            id="start-wire"
            value={form.wire}
            onChange={(_, wire) => onChange({ ...form, wire: WIRES.find((one) => one === wire) ?? "auto" })}
          >
            {WIRES.map((wire) => (
              <FormSelectOption key={wire} value={wire} label={WIRE_WORDS[wire]} />
            ))}
          </FormSelect>
        </FormGroup>
      </div>
      <fieldset className="gw-techniques">
        <legend>Technique</legend>
        {TECHNIQUE_CHOICES.toSorted(usual).map((technique) => (
          <label key={technique} data-chosen={form.technique === technique || undefined}>
            <input
              type="radio"
              name="technique"
              value={technique}
              checked={form.technique === technique}
              onChange={() => onChange({ ...form, technique })}
            />
            <span>
              <strong>{technique}</strong>
              <small>{TECHNIQUE_WORDS[technique]}</small>
            </span>
          </label>
        ))}
      </fieldset>
    </>
  );
}

/** The usual choice first. */
const ORDER = ["pre-copy", "auto", "hybrid", "post-copy", "stop-and-copy"];
const usual = (a: string, b: string): number => ORDER.indexOf(a) - ORDER.indexOf(b);
