/** What a cache says of itself: the ring, the numbers, and where one key stands. */

import { NodeUnavailableError } from '../errors.ts';
import type { CacheCounters, LatencySummary, LockStats } from '../metrics/metrics.ts';
import type { NodeStats } from '../node/node.ts';
import type { ServerReport } from '../node/report.ts';
import type { HashRing } from '../ring/ring.ts';
import type { Snapshot } from '../topology/snapshot.ts';
import type { Topology } from '../topology/topology.ts';
import type { Explanation } from './namespaced.ts';
import type { Rooms } from './rooms.ts';

export interface NodeStatus {
  readonly id: string;
  readonly weight: number;
  /** Its part of all keys, 0 to 1. */
  readonly share: number;
  readonly state: 'up' | 'down' | 'connecting';
  readonly breaker: 'closed' | 'open' | 'halfOpen';
}

/** A node, and what its server says of itself. */
export interface NodeReport extends NodeStatus {
  /** Undefined when it did not answer: `problem` says why. */
  readonly server: ServerReport | undefined;
  readonly problem: string | undefined;
}

export interface TopologyStatus {
  readonly epoch: number;
  /** `joint` while a change is under way. */
  readonly state: 'stable' | 'joint';
  readonly fingerprint: string;
  /** The id of the node that decides about changes; `@control` for a server of its own. */
  readonly control: string;
  /** While a change is under way: the ids of the nodes that join, leave, or weigh something else. */
  readonly change?: {
    readonly add: string[];
    readonly remove: string[];
    readonly weights: string[];
  };
  readonly nodes: NodeStatus[];
}

/** Plain numbers since the start; times in milliseconds. */
export interface Stats extends Readonly<Omit<CacheCounters, 'loadLatency'>> {
  readonly epoch: number;
  readonly memory: {
    readonly entries: number;
    readonly bytes: number;
    /** How old a value that another process changed may be here, at most. */
    readonly maxStaleMs: number;
  };
  readonly loadLatency: LatencySummary;
  /** Loads that wait for their turn. */
  readonly loadsWaiting: number;
  readonly locks: LockStats;
  readonly nodes: Readonly<Record<string, NodeStats & NodeStatus>>;
}

export function topologyStatusOf({ snapshot, document }: Topology): TopologyStatus {
  return {
    epoch: snapshot.epoch,
    state: snapshot.state,
    fingerprint: snapshot.ring.fingerprint,
    control: document.control.id,
    ...(snapshot.source && { change: difference(snapshot.source, snapshot.ring) }),
    nodes: statusOf(snapshot),
  };
}

export function statsOf(rooms: Rooms): Stats {
  const { topology, runner, options, memory } = rooms;
  const { snapshot } = topology;
  const { loadLatency, ...counters } = rooms.counters;
  const nodes: Record<string, NodeStats & NodeStatus> = {};
  for (const status of statusOf(snapshot)) {
    const node = snapshot.nodes.get(status.id);
    if (node !== undefined) nodes[status.id] = { ...node.stats(), ...status };
  }
  const tuning = options.memory;
  return {
    ...counters,
    epoch: snapshot.epoch,
    memory: { ...memory.size(), maxStaleMs: tuning === false ? 0 : tuning.maxStaleMs },
    loadLatency: loadLatency.summary(),
    loadsWaiting: runner.waiting,
    locks: rooms.locks.service.stats(),
    nodes,
  };
}

/** All nodes are asked at once; one that does not answer is in the list all the same. */
export async function inspectNodes({ topology }: Rooms): Promise<NodeReport[]> {
  const { snapshot } = topology;
  const reports = [...snapshot.nodes.values()].map(async (node) => {
    try {
      return { server: await node.report(), problem: undefined };
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      return { server: undefined, problem: error.detail || error.reason };
    }
  });
  const asked = await Promise.all(reports);
  // Only now: a node may have turned out to be down by being asked.
  return statusOf(snapshot).map((status, i) => ({ ...status, ...asked[i]! }));
}

export async function explain(key: string, rooms: Rooms): Promise<Explanation> {
  const { snapshot } = rooms.topology;
  const hash = snapshot.ring.hash(key);
  const owner = snapshot.owner(hash);
  const seen = await owner.inspect(key).catch(() => undefined);
  const stored = seen?.stored;
  let atNode: Explanation['atNode'] = seen === undefined ? 'unavailable' : 'absent';
  if (stored !== undefined) {
    if (!snapshot.believes(stored, hash)) atNode = 'outdated';
    else atNode = stored.freshForMs > 0 ? 'fresh' : 'stale';
  }
  return {
    key,
    owner: owner.id,
    previousOwner: snapshot.previousOwner(hash)?.id,
    epoch: snapshot.epoch,
    inMemory: rooms.memory.get(key) !== undefined,
    atNode,
    ttlLeftMs: Math.max(0, stored?.freshForMs ?? 0),
    leftMs: seen?.leftMs ?? 0,
    leased: seen?.leased ?? false,
    leaseLeftMs: seen?.leaseLeftMs ?? 0,
    breaker: owner.state().breaker,
  };
}

/** Also the nodes that are leaving: they have no share any more. */
function statusOf(snapshot: Snapshot): NodeStatus[] {
  const { ring } = snapshot;
  const shares = ring.shares();
  return [...snapshot.nodes.values()].map((node) => ({
    id: node.id,
    weight: ring.weights[ring.ids.indexOf(node.id)] ?? 0,
    share: shares[node.id] ?? 0,
    ...node.state(),
  }));
}

function difference(from: HashRing, to: HashRing): NonNullable<TopologyStatus['change']> {
  const before = new Map(from.ids.map((id, i) => [id, from.weights[i]]));
  const after = new Map(to.ids.map((id, i) => [id, to.weights[i]]));
  return {
    add: to.ids.filter((id) => !before.has(id)),
    remove: from.ids.filter((id) => !after.has(id)),
    weights: to.ids.filter((id) => before.has(id) && before.get(id) !== after.get(id)),
  };
}
