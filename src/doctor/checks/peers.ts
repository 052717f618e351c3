/** The peers of the configuration: whether each answers with this host's own certificates. */
import { peerViews } from "../../agent/facts.ts";
import { Peer } from "../../agent/peers.ts";
import type { PeerView } from "../../api/host.ts";
import { fine, warning, type Check, type Verdict } from "../types.ts";

interface PeersFacts {
  readonly configured: boolean;
  readonly peers: readonly PeerView[];
}

function* judge({ configured, peers: views }: PeersFacts): Generator<Verdict> {
  if (views.length === 0) {
    yield warning(
      configured
        ? "The configuration names no peers: there is nowhere to migrate to."
        : "Without a configuration there are none.",
      configured ? "Add one under peers: and restart the agent." : "See the finding on the configuration.",
    );
  }
  for (const { name, address, reachable, detail } of views) {
    yield reachable
      ? fine(`${name} answers at ${address} (${detail}).`)
      : warning(`${name} does not answer at ${address}: ${detail}`, `On ${name}: godwit doctor`);
  }
}

export const peers: Check<PeersFacts> = {
  name: "peers",
  gather: async ({ config }) => {
    if (config === undefined) return { configured: false, peers: [] };
    const open = new Map(config.peers.map((address) => [address.name, new Peer(address, config.tlsDir)]));
    try {
      const of = (name: string): Peer => {
        const peer = open.get(name);
        if (peer === undefined) throw new TypeError(name);
        return peer;
      };
      return { configured: true, peers: await peerViews(config.peers, of) };
    } finally {
      for (const peer of open.values()) peer.close();
    }
  },
  judge: (facts) => [...judge(facts)],
};
