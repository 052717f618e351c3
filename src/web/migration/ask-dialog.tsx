/** Asks before something that cannot be taken back, and says what it means. */
import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core/dist/esm/components/Modal";

import type { MigrationView } from "../../api/migration.ts";

export type Asked = "cancel" | "recover";

interface Words {
  readonly title: string;
  readonly body: string;
  readonly yes: string;
  readonly no: string;
}

const WORDS: Readonly<Record<Asked, (view: MigrationView) => Words>> = {
  cancel: ({ vm, source, target }) => ({
    title: `Cancel the migration of ${vm}?`,
    body:
      `${vm} stays on ${source} and goes on running there. What was copied to ${target} is thrown away. If it has been ` +
      `handed over in the meantime, the cancel is refused and it ends on ${target}.`,
    yes: "Cancel the migration",
    no: "Let it go on",
  }),
  recover: ({ vm, source, target }) => ({
    title: `Recover ${vm}?`,
    body:
      `If the copy on ${source} is complete, ${vm} runs there again as it was at the switchover: what it has done on ` +
      `${target} since is lost, and it must not run there any more. If its memory was still being fetched, the ` +
      `connection is tried again and nothing is lost.`,
    yes: `Recover ${vm}`,
    no: "Leave it",
  }),
};

interface Props {
  readonly what: Asked;
  readonly view: MigrationView;
  readonly onYes: () => void;
  readonly onNo: () => void;
}

export function AskDialog({ what, view, onYes, onNo }: Props) {
  const { title, body, yes, no } = WORDS[what](view);
  return (
    <Modal isOpen variant="small" onClose={onNo} aria-labelledby="ask-title" aria-describedby="ask-body">
      <ModalHeader title={title} labelId="ask-title" />
      <ModalBody id="ask-body">{body}</ModalBody>
      <ModalFooter>
        <Button variant="danger" onClick={onYes}>
          {yes}
        </Button>
        <Button variant="link" onClick={onNo} autoFocus>
          {no}
        </Button>
      </ModalFooter>
    </Modal>
  );
}
