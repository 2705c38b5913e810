/** What is done when the node that decides about changes is lost. */
import { InvalidOptionError, NodeUnavailableError } from '../errors.ts';
import type { CacheNode } from '../node/node.ts';
import { raiseAll } from './announce.ts';
import { recovered } from './successors.ts';
import type { Topology } from './topology.ts';

export interface Recovery {
  readonly epoch: number;
  /** The member that decides from now on. */
  readonly control: string;
  /** Whether what was stored before is believed still. */
  readonly believed: boolean;
}

/**
 * Lets another member decide, and has all nodes serve the newest document that
 * any of them has. Those that do not answer are left to heal.
 *
 * If a node stands at a document that nobody has, or at another one of the same
 * epoch, nobody knows what was stored under it: then nothing is believed that
 * was stored before.
 *
 * @param wanted The id of the member; by default the first that answers.
 * @throws NodeUnavailableError, InvalidOptionError, TopologyConflictError (a node has the
 *   document of another fleet): nothing was changed.
 */
export async function recover(topology: Topology, wanted?: string): Promise<Recovery> {
  await topology.readmitAll();
  const { document: from, refusals } = topology;
  for (const { error, foreign } of refusals) if (foreign) throw error;
  const control = newControl(topology, wanted);
  const highest = Math.max(from.epoch, ...refusals.map(({ epoch }) => epoch));
  const believed = refusals.every(({ epoch }) => epoch < from.epoch);
  const to = { epoch: highest + 1, control: { id: control.id }, believe: believed };
  const next = recovered(from, to);
  await topology.takeUp(next);
  await topology.readmitAll();
  const missing = await raiseAll(topology, next);
  if (missing.has(control.id)) {
    throw new NodeUnavailableError(control.id, 'connection', 'it is to decide about changes');
  }
  return { epoch: next.epoch, control: control.id, believed };
}

function newControl(topology: Topology, wanted: string | undefined): CacheNode {
  const members = [...topology.snapshot.nodes.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const ids = members.map(({ id }) => id);
  if (wanted !== undefined && !ids.includes(wanted)) {
    throw new InvalidOptionError('control', `one of the ring's nodes (${ids.join(', ')})`, wanted);
  }
  // One that was refused will be admitted under the new epoch.
  const refused = new Set(topology.refusals.map(({ error }) => error.node));
  const control = members.find(
    (node) =>
      node.id === (wanted ?? node.id) && (node.state().state === 'up' || refused.has(node.id)),
  );
  if (control !== undefined) return control;
  throw new NodeUnavailableError(wanted ?? 'all', 'connection', 'it cannot decide about changes');
}
