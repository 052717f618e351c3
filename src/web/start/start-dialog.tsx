/** Starting a migration: where to, how, within which limits; and what pre-flight finds, before it can be started. */
import "../style/start.css";

import { Button } from "@patternfly/react-core/dist/esm/components/Button";
import { Form } from "@patternfly/react-core/dist/esm/components/Form";
import { Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core/dist/esm/components/Modal";
import { useState } from "react";

import type { VmView } from "../../api/host.ts";
import { formatBytes } from "../../std/units.ts";
import { refusalOf, type Refusal } from "../data/refusal.ts";
import { hrefOf } from "../route.ts";
import { useKnown, useSession } from "../session.ts";
import { RefusalNote } from "../ui/refusal-note.tsx";
import { Findings, Verdict } from "./findings.tsx";
import { emptyForm, parseForm } from "./form.ts";
import { LimitFields } from "./limit-fields.tsx";
import { TargetFields } from "./target-fields.tsx";
import { useCheck } from "./use-check.ts";

interface Props {
  readonly vm: VmView;
  readonly onClose: () => void;
}

export default function StartDialog({ vm, onClose }: Props) {
  const { agent, store } = useSession();
  const peers = useKnown((state) => state.host?.peers) ?? [];
  const [form, setForm] = useState(() => emptyForm(peers.find((peer) => peer.reachable)?.name ?? ""));
  const [sending, setSending] = useState(false);
  const [refusal, setRefusal] = useState<Refusal>();
  const parsed = parseForm(form);
  const request = parsed.ok ? parsed.request : undefined;
  const check = useCheck(agent, vm.name, request);
  const ready = check.is === "there" && check.report.ok && !sending;

  const start = async (): Promise<void> => {
    if (request === undefined || !ready) return;
    setSending(true);
    setRefusal(undefined);
    try {
      const view = await agent.call("migrate", { params: { name: vm.name }, body: request });
      store.tell({ type: "event", event: { type: "migration", migration: view } });
      onClose();
      location.hash = hrefOf({ page: "migration", id: view.id });
    } catch (error) {
      setRefusal(refusalOf(error));
      setSending(false);
    }
  };

  return (
    <Modal
      isOpen
      variant="medium"
      onClose={onClose}
      aria-labelledby="start-title"
      aria-describedby="start-about"
      className="gw-start"
    >
      <ModalHeader
        title={`Migrate ${vm.name}`}
        labelId="start-title"
        descriptorId="start-about"
        description={`${formatBytes(vm.memoryBytes)} of memory, ${vm.vcpus} vCPU, ${vm.accelerator.toUpperCase()}, on ${vm.host} now`}
      />
      <ModalBody tabIndex={0} aria-label="Settings of the migration">
        <Form
          id="start-form"
          onSubmit={(event) => {
            event.preventDefault();
            void start();
          }}
        >
          <TargetFields form={form} peers={peers} onChange={setForm} />
          <LimitFields form={form} problems={parsed.ok ? {} : parsed.problems} onChange={setForm} />
          <Findings check={check} />
          {refusal === undefined ? null : <RefusalNote refusal={refusal} />}
        </Form>
      </ModalBody>
      <ModalFooter>
        <Verdict check={check} />
        <Button type="submit" form="start-form" isDisabled={!ready} isLoading={sending}>
          Migrate to {form.target === "" ? "…" : form.target}
        </Button>
        <Button variant="link" onClick={onClose}>
          Not now
        </Button>
      </ModalFooter>
    </Modal>
  );
}
