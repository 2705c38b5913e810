/** What is between the processes and the nodes: it loses, delays, overtakes, and falls in two. */
import type { ModelNode, NodeName } from './ring-model-nodes.ts';
import { CHANGE_AT_MS, type Scenario, SETTLED_AT_MS } from './ring-model-setup.ts';
import type { Chance, Steps, VirtualTime } from './ring-model-time.ts';

export type Peer = 'driver' | `client ${number}`;

export const UNANSWERED = { kind: 'unanswered' } as const;
export type Unanswered = typeof UNANSWERED;

export interface Question<T> {
  readonly from: Peer;
  readonly to: NodeName;
  readonly timeoutMs: number;
  readonly act: (node: ModelNode) => T;
}

const USUAL_WAY_MS = 1;
const SLOW_WAY_MS = 60;
const OLD_HOME: NodeName = 'A';
const APART_SHARE = 0.4;

export interface NetworkParts {
  readonly time: VirtualTime;
  readonly chance: Chance;
  readonly scenario: Scenario;
  readonly nodes: ReadonlyMap<NodeName, ModelNode>;
  readonly clients: readonly Peer[];
}

export class Network {
  readonly #time: VirtualTime;
  readonly #chance: Chance;
  readonly #scenario: Scenario;
  readonly #nodes: ReadonlyMap<NodeName, ModelNode>;
  /** From when on the driver reaches the old home. */
  readonly #driverReachesFromMs: number;
  /** Who is on the side of the old home while the network is split. */
  readonly #apart: ReadonlySet<Peer>;
  readonly #splitFromMs: number;
  readonly #splitUntilMs: number;

  constructor({ time, chance, scenario, nodes, clients }: NetworkParts) {
    this.#time = time;
    this.#chance = chance;
    this.#scenario = scenario;
    this.#nodes = nodes;
    this.#driverReachesFromMs = driverReachesFromMs(scenario, chance);
    this.#apart = new Set(clients.filter(() => chance.happens(APART_SHARE)));
    // Just before the change: the leases of those apart are as fresh as they can be then.
    const isSplit = scenario.cut === 'split';
    this.#splitFromMs = isSplit ? CHANGE_AT_MS - chance.between(0, 10) : Number.POSITIVE_INFINITY;
    this.#splitUntilMs = chance.between(CHANGE_AT_MS + 100, SETTLED_AT_MS - 100);
  }

  /**
   * Asks and waits for the answer. A question without an answer in time may have
   * been lost on the way, have acted, or act later: the asker cannot tell.
   */
  *ask<T>({ from, to, timeoutMs, act }: Question<T>): Steps<T | Unanswered> {
    const thereMs = this.#wayMs();
    const backMs = this.#wayMs();
    if (!this.#reaches(from, to)) {
      yield timeoutMs;
      return UNANSWERED;
    }
    let answer: T | Unanswered = UNANSWERED;
    if (thereMs !== undefined) {
      this.#time.after(thereMs, () => {
        answer = act(this.#node(to));
      });
    }
    if (thereMs === undefined || backMs === undefined || thereMs + backMs > timeoutMs) {
      yield timeoutMs;
      return UNANSWERED;
    }
    yield thereMs + backMs;
    return answer;
  }

  /** Sends and does not wait. */
  send(from: Peer, to: NodeName, act: (node: ModelNode) => void): void {
    const wayMs = this.#wayMs();
    if (wayMs === undefined || !this.#reaches(from, to)) return;
    this.#time.after(wayMs, () => act(this.#node(to)));
  }

  /** How long a message is under way; undefined when it gets lost. */
  #wayMs(): number | undefined {
    if (this.#chance.happens(this.#scenario.lostShare)) return undefined;
    const isSlow = this.#chance.happens(this.#scenario.slowShare);
    return this.#chance.around(isSlow ? SLOW_WAY_MS : USUAL_WAY_MS);
  }

  /** Whether nothing that is told on the other side comes to `peer` now. */
  isApart(peer: Peer): boolean {
    return this.#isSplit() && this.#apart.has(peer);
  }

  #reaches(from: Peer, to: NodeName): boolean {
    const isCut = from === 'driver' && this.#time.nowMs < this.#driverReachesFromMs;
    if (isCut && to === OLD_HOME) return false;
    return !this.#isSplit() || this.#apart.has(from) === (to === OLD_HOME);
  }

  #isSplit(): boolean {
    return this.#time.nowMs >= this.#splitFromMs && this.#time.nowMs < this.#splitUntilMs;
  }

  #node(name: NodeName): ModelNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }
}

function driverReachesFromMs({ cut }: Scenario, chance: Chance): number {
  switch (cut) {
    case 'nothing':
    case 'split':
      return 0;
    case 'driver':
      return Number.POSITIVE_INFINITY;
    case 'driver-at-first':
      return CHANGE_AT_MS + chance.between(0, 100);
  }
}
