/** Where a token is pasted, and why the last one was refused. */
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Form, FormGroup } from "@patternfly/react-core/dist/esm/components/Form";
import { TextInput } from "@patternfly/react-core/dist/esm/components/TextInput";
import { useState } from "react";

import type { Refusal } from "./data/refusal.ts";
import { looksLikeToken } from "./token.ts";
import { RefusalNote } from "./ui/refusal-note.tsx";
import logo from "./ui/godwit.svg";

interface Props {
  readonly refusal: Refusal | undefined;
  readonly onToken: (token: string) => void;
}

export function TokenPage({ refusal, onToken }: Props) {
  const [text, setText] = useState("");
  const wrong = text !== "" && !looksLikeToken(text);
  return (
    <main className="gw-token">
      <title>Token · godwit</title>
      <img src={logo} alt="" width={72} height={72} />
      <h1>godwit</h1>
      <p>Live migration of virtual machines. This agent answers to people who have a token.</p>
      {refusal === undefined ? null : <RefusalNote refusal={refusal} />}
      <Form
        onSubmit={(event) => {
          event.preventDefault();
          if (looksLikeToken(text)) onToken(text);
        }}
      >
        <FormGroup label="Token" fieldId="token">
          <TextInput
            id="token"
            type="password"
            autoComplete="off"
            // The page has one purpose.
            autoFocus
            value={text}
            onChange={(_, value) => setText(value)}
            validated={wrong ? "error" : "default"}
            aria-describedby="token-help"
          />
          <p id="token-help" className={wrong ? "gw-field-problem" : "gw-help"}>
            {wrong
              ? "This is not a token: at least 8 letters, digits or - . _ ~ + /, without blanks inside."
              : "Whoever runs the agent makes one; it is kept in this tab until it is closed."}
          </p>
        </FormGroup>
        <Button type="submit" isDisabled={!looksLikeToken(text)}>
          Open the dashboard
        </Button>
      </Form>
    </main>
  );
}
