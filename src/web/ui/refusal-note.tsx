/** A refusal as people see it: what happened, its code, and what to do next. */
import { Alert } from "@patternfly/react-core/dist/esm/components/Alert";
import { Button } from "@patternfly/react-core/dist/esm/components/Button";

import type { Refusal } from "../data/refusal.ts";

interface Props {
  readonly refusal: Refusal;
  readonly onAgain?: () => void;
}

export function RefusalNote({ refusal, onAgain }: Props) {
  return (
    <Alert isInline variant="danger" title={refusal.what} className="gw-refusal" role="alert">
      <p>{refusal.next}</p>
      <p className="gw-refusal-end">
        <code>{refusal.code}</code>
        {onAgain === undefined ? null : (
          <Button variant="link" isInline onClick={onAgain}>
            Try again
          </Button>
        )}
      </p>
    </Alert>
  );
}
