/** The limits of a migration, each with its unit, each with its problem beside it. */
import { FormGroup } from "@patternfly/react-core/dist/esm/components/Form";
import { FormSelect, FormSelectOption } from "@patternfly/react-core/dist/esm/components/FormSelect";
import { TextInput } from "@patternfly/react-core/dist/esm/components/TextInput";

import { asks, type Problems, type StartForm } from "./form.ts";

interface Props {
  readonly form: StartForm;
  readonly problems: Problems;
  readonly onChange: (form: StartForm) => void;
}
type Limit = "bandwidth" | "maxDowntime" | "adaptiveDowntime" | "remaining" | "timeout" | "forceCeiling";

export function LimitFields({ form, problems, onChange }: Props) {
  const field = (name: Limit, label: string, help: string) => (
    <LimitField
      name={name}
      label={label}
      help={help}
      value={form[name]}
      problem={problems[name]}
      onChange={(value) => onChange({ ...form, [name]: value })}
    />
  );
  const rounds = asks.rounds(form.technique);
  const patience = form.timeout.trim() !== "";
  return (
    <>
      <div className="gw-form-row">
        {field("maxDowntime", "Longest pause", "300ms, 2s")}
        {field("bandwidth", "Bandwidth at most", "none; 100MiB/s, 1Gbit/s")}
        {field("timeout", "Patience", "none; 10m")}
      </div>
      {patience ? (
        <div className="gw-form-row">
          <FormGroup label="When it is over" fieldId="start-onTimeout">
            <FormSelect
              id="start-onTimeout"
              value={form.onTimeout}
              onChange={(_, value) => onChange({ ...form, onTimeout: oneOf(ON_TIMEOUT, value) })}
            >
              <FormSelectOption value="cancel" label="cancel; the VM stays" />
              <FormSelectOption value="post-copy" label="run at the target, fetch the rest" />
              <FormSelectOption value="force" label="pause now, up to …" />
            </FormSelect>
          </FormGroup>
          {form.onTimeout === "force" ? field("forceCeiling", "… this long", "5s") : null}
        </div>
      ) : null}
      <details className="gw-more">
        <summary>More</summary>
        <div className="gw-form-row">
          {rounds ? field("adaptiveDowntime", "Pause may adapt up to", "off; 2s") : null}
          {rounds ? field("remaining", "Switch over when no more than this is dirty", "off; 4MiB") : null}
          {form.technique === "hybrid" ? (
            <FormGroup label="Change to post-copy" fieldId="start-switchWhen">
              <FormSelect
                id="start-switchWhen"
                value={form.switchWhen}
                onChange={(_, value) => onChange({ ...form, switchWhen: oneOf(SWITCH_WHEN, value) })}
              >
                <FormSelectOption value="after-rounds" label="after one round" />
                <FormSelectOption value="stalled" label="when rounds stop shrinking" />
                <FormSelectOption value="shorter-stall" label="when fetching stalls it less" />
              </FormSelect>
            </FormGroup>
          ) : null}
        </div>
        {rounds ? (
          <Tick
            label="Slow the vCPUs down when copying does not converge"
            checked={form.autoConverge}
            onChange={(autoConverge) => onChange({ ...form, autoConverge })}
          />
        ) : null}
        {asks.verify(form) ? (
          <Tick
            label="Compare the whole memory on both hosts while the guest is stopped (a longer pause)"
            checked={form.verifyMemory}
            onChange={(verifyMemory) => onChange({ ...form, verifyMemory })}
          />
        ) : null}
      </details>
    </>
  );
}

const ON_TIMEOUT = ["cancel", "post-copy", "force"] as const;
const SWITCH_WHEN = ["after-rounds", "stalled", "shorter-stall"] as const;
const oneOf = <T extends string>(all: readonly [T, ...T[]], value: string): T =>
  all.find((one) => one === value) ?? all[0];

interface FieldProps {
  readonly name: Limit;
  readonly label: string;
  readonly help: string;
  readonly value: string;
  readonly problem: string | undefined;
  readonly onChange: (value: string) => void;
}

function LimitField({ name, label, help, value, problem, onChange }: FieldProps) {
  const id = `start-${name}`;
  return (
    <FormGroup label={label} fieldId={id}>
      <TextInput
        id={id}
        value={value}
        placeholder={help}
        spellCheck={false}
        autoComplete="off"
        validated={problem === undefined ? "default" : "error"}
        aria-describedby={`${id}-help`}
        onChange={(_, text) => onChange(text)}
      />
      <p id={`${id}-help`} className={problem === undefined ? "gw-hidden" : "gw-field-problem"}>
        {problem ?? `For example ${help}`}
      </p>
    </FormGroup>
  );
}

interface TickProps {
  readonly label: string;
  readonly checked: boolean;
  readonly onChange: (checked: boolean) => void;
}

const Tick = ({ label, checked, onChange }: TickProps) => (
  <label className="gw-tick">
    <input type="checkbox" checked={checked} onChange={(event) => onChange(event.target.checked)} /> {label}
  </label>
);
