/**
 * One request of a lock to one node, and what its answer means for the rest:
 * another ring is taken up, a node is admitted anew or its gate is opened, and
 * the step is done again.
 */
import { NodeUnavailableError, TopologyConflictError } from '../errors.ts';
import type { GateAnswer } from '../node/lock-node.ts';
import type { CacheNode } from '../node/node.ts';
import type { Gates } from '../topology/gates.ts';
import type { Snapshot } from '../topology/snapshot.ts';
import type { Topology } from '../topology/topology.ts';
import type { Attempt } from './homes.ts';

export interface StepPlace {
  readonly node: CacheNode;
  /** What the request was made with. */
  readonly snapshot: Snapshot;
  readonly topology: Topology;
  readonly gates: Gates;
}

/** How a node answered a step. */
export type StepAnswer =
  | { readonly kind: 'done' }
  | { readonly kind: 'busy'; readonly remainingMs: number }
  | { readonly kind: 'shut' }
  | { readonly kind: 'stale' }
  | { readonly kind: 'unknown' };

export type LockStep =
  | { readonly kind: 'done' }
  | { readonly kind: 'again' } // something was put right: from the start
  | Extract<Attempt, { kind: 'busy' | 'unavailable' | 'conflict' }>;

/** What an answer means, when all that can be put right has been. @throws NodeUnavailableError */
export function settled(answer: StepAnswer, place: StepPlace): LockStep | Promise<LockStep> {
  if (answer.kind !== 'done' && answer.kind !== 'busy') return putRight(answer.kind, place);
  place.gates.sawOpen(place.node);
  return answer;
}

async function putRight(what: 'shut' | 'stale' | 'unknown', place: StepPlace): Promise<LockStep> {
  const { node, snapshot, topology, gates } = place;
  switch (what) {
    case 'shut':
      return afterKnocking(node, await gates.open(node));
    case 'stale':
      await topology.refresh(snapshot);
      return { kind: 'again' };
    case 'unknown':
      await node.readmit();
      return { kind: 'again' };
  }
}

/** @throws What it is given, if it is no NodeUnavailableError. */
export function unavailable(node: CacheNode, error: unknown): LockStep {
  if (!(error instanceof NodeUnavailableError)) throw error;
  return { kind: 'unavailable', node: node.id, why: error.message, cause: error };
}

function afterKnocking(node: CacheNode, answer: GateAnswer): LockStep {
  switch (answer.kind) {
    case 'open':
      return { kind: 'again' };
    case 'quarantined':
      return {
        kind: 'unavailable',
        node: node.id,
        why:
          `node ${node.id} was restarted or has lost its data, and grants nothing until what it ` +
          `granted before has run out, in ${answer.remainingMs} ms`,
        retryAfterMs: answer.remainingMs,
      };
    case 'conflict':
      return { kind: 'conflict', error: conflictAt(node.id, answer.profile) };
    case 'new':
    case 'missing':
      return { kind: 'unavailable', node: node.id, why: `node ${node.id} is not open yet` };
  }
}

/** Others use the locks of this node in another way. */
export function conflictAt(node: string, profile: string): TopologyConflictError {
  const [kind, longestMs] = profile.split('-');
  return new TopologyConflictError(
    node,
    `serves locks with quorum ${kind === 'quorum'} and maxTtl ${longestMs} ms: all who share locks ` +
      'must be given the same, or another namespace',
  );
}
