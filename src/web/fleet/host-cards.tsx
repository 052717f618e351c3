/** Each host as a card: reachable or not, what it runs by state. A card pressed shows only that host's VMs. */
import { VM_STATES } from "../../api/host.ts";
import { formatBytes } from "../../std/units.ts";
import { STATE_TONES } from "../words.ts";
import type { HostCard } from "./select.ts";

interface Props {
  readonly cards: readonly HostCard[];
  readonly chosen: string | undefined;
  readonly onChoose: (host: string | undefined) => void;
}

export function HostCards({ cards, chosen, onChoose }: Props) {
  return (
    <section aria-labelledby="hosts-title">
      <div className="gw-section-head">
        <h2 id="hosts-title">Hosts</h2>
        <span className="gw-count">{cards.length}</span>
      </div>
      <ul className="gw-hosts">
        {cards.map((card) => (
          <li key={card.name}>
            <button
              type="button"
              className="gw-card gw-host"
              aria-pressed={chosen === card.name}
              data-away={card.reachable ? undefined : true}
              onClick={() => onChoose(chosen === card.name ? undefined : card.name)}
            >
              <span className="gw-host-head">
                <strong>{card.name}</strong>
                {card.here ? <small>this agent</small> : null}
                {card.reachable ? null : <small className="gw-away">not reachable</small>}
              </span>
              <StateBar card={card} />
              <span className="gw-host-foot">
                {card.reachable || card.vms > 0 ? (
                  <>
                    <span>
                      <b className="gw-number">{card.vms}</b> {card.vms === 1 ? "VM" : "VMs"}
                    </span>
                    <span className="gw-number">{formatBytes(card.memoryBytes)}</span>
                  </>
                ) : (
                  <span>{card.detail}</span>
                )}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function StateBar({ card }: { readonly card: HostCard }) {
  const there = VM_STATES.filter((state) => card.counts[state] > 0);
  const words = there.map((state) => `${card.counts[state]} ${state}`).join(", ");
  return (
    <span className="gw-state-bar">
      <span className="gw-hidden">{words}</span>
      {there.map((state) => (
        <span
          key={state}
          aria-hidden="true"
          data-tone={STATE_TONES[state]}
          style={{ flexGrow: card.counts[state] }}
          title={`${card.counts[state]} ${state}`}
        />
      ))}
    </span>
  );
}
