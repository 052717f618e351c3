/** The two fields every toolbar has: words to find, one of several. */
import { FormSelect, FormSelectOption } from "@patternfly/react-core/dist/esm/components/FormSelect";
import { TextInput } from "@patternfly/react-core/dist/esm/components/TextInput";

interface SearchProps {
  readonly label: string;
  readonly value: string;
  readonly onChange: (text: string) => void;
}

export const SearchField = ({ label, value, onChange }: SearchProps) => (
  <TextInput
    type="search"
    className="gw-search"
    aria-label={label}
    placeholder={label}
    value={value}
    onChange={(_, text) => onChange(text)}
  />
);

interface SelectProps<T extends string> {
  readonly label: string;
  readonly value: T;
  readonly options: readonly (readonly [T, string])[];
  readonly onChange: (value: T) => void;
}

export function SelectField<T extends string>({ label, value, options, onChange }: SelectProps<T>) {
  return (
    <FormSelect
      className="gw-select"
      aria-label={label}
      value={value}
      onChange={(_, chosen) => onChange(options.find(([one]) => one === chosen)?.[0] ?? value)}
    >
      {options.map(([one, words]) => (
        <FormSelectOption key={one} value={one} label={words} />
      ))}
    </FormSelect>
  );
}
