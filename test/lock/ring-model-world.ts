/** What the parts of one history have in common. */
import { History } from './ring-model-history.ts';
import { Network, type Peer } from './ring-model-network.ts';
import { ModelNode, NODE_NAMES, type NodeName, type View } from './ring-model-nodes.ts';
import { type Mutation, SCENARIOS, type Scenario, type Setup } from './ring-model-setup.ts';
import { Chance, VirtualTime } from './ring-model-time.ts';

/** Takes the story of a history, line by line. */
export type Tell = (line: string) => void;

export interface WorldOptions {
  readonly clients: readonly Peer[];
  readonly firstView: View;
  /** Left out where nobody reads it: most of a history's time would go into text. */
  readonly tell?: Tell | undefined;
}

export class World {
  readonly setup: Setup;
  readonly scenario: Scenario;
  readonly firstView: View;
  readonly tell: Tell | undefined;
  readonly time = new VirtualTime();
  readonly history = new History();
  readonly chance: Chance;
  readonly network: Network;
  readonly #informed = new Map<Peer, (view: View) => void>();

  constructor(setup: Setup, { clients, firstView, tell }: WorldOptions) {
    this.setup = setup;
    this.scenario = SCENARIOS[setup.scenario];
    this.firstView = firstView;
    this.tell = tell && ((line) => tell(`${this.time.nowMs.toFixed(1).padStart(7)}  ${line}`));
    this.chance = new Chance(setup.seed);
    const { time, chance, scenario } = this;
    this.network = new Network({ time, chance, scenario, clients, nodes: this.#nodes() });
  }

  /** Whether this part of the epoch protocol is left out or wrong. */
  has(mutation: Mutation): boolean {
    return this.setup.mutation === mutation;
  }

  /** From now on, `peer` is told of each view some time after it is published, if it can be reached then. */
  inform(peer: Peer, adopt: (view: View) => void): void {
    this.#informed.set(peer, adopt);
  }

  publish(view: View): void {
    this.tell?.(`driver publishes epoch ${view.epoch}, ${view.homes.join(' then ')}`);
    for (const [peer, adopt] of this.#informed) {
      this.time.after(this.chance.around(this.scenario.toldAfterMs), () => {
        if (!this.network.isApart(peer)) adopt(view);
      });
    }
  }

  #nodes(): ReadonlyMap<NodeName, ModelNode> {
    const usesEpochs = this.setup.protocol === 'epoch';
    const refuses = usesEpochs && !this.has('nodes-ignore-the-epoch');
    const rules = {
      refusesOldToAcquire: refuses,
      refusesOldToRenew: refuses && !this.has('renewals-ignore-the-epoch'),
      learnsFromClients: usesEpochs && !this.has('clients-teach-no-node'),
    };
    const nodes = NODE_NAMES.map((name) => new ModelNode(name, this.time, rules));
    for (const node of nodes) {
      if (this.firstView.members.includes(node.name)) node.seal(this.firstView);
    }
    return new Map(nodes.map((node) => [node.name, node]));
  }
}
