/** How a new document reaches the nodes. */
import { NodeUnavailableError, TopologyBusyError } from '../errors.ts';
import { encodeDocument, type TopologyDocument } from './document.ts';
import { fenceOfDocument, type Topology } from './topology.ts';

/**
 * Has the first node that answers accept the document: of two changes begun at
 * once, one is turned away.
 *
 * @throws TopologyBusyError, NodeUnavailableError
 */
export async function propose(topology: Topology, document: TopologyDocument): Promise<void> {
  const { nodes } = topology.snapshot;
  let failure = new NodeUnavailableError('all', 'connection', 'no node can take the change');
  for (const id of [...nodes.keys()].sort()) {
    const node = nodes.get(id);
    if (node?.state().state !== 'up') continue;
    try {
      const answer = await node.install(fenceOfDocument(document), encodeDocument(document));
      if (answer.kind === 'installed') return;
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      failure = error;
      continue;
    }
    await topology.refresh(topology.snapshot);
    throw new TopologyBusyError(topology.document.epoch);
  }
  throw failure;
}

/**
 * Raises every node of the rings in force, and those that have just left: who
 * has not heard still asks them. Resolves to whether all are known to be raised to
 * this document; those that cannot be reached are when they are admitted again.
 */
export async function raiseAll(topology: Topology, document: TopologyDocument): Promise<boolean> {
  const raised = topology.snapshot.lockNodes().map(async (node) => {
    if (node.state().state !== 'up') return false;
    try {
      const answer = await node.install(fenceOfDocument(document), encodeDocument(document));
      if (answer.kind === 'installed') return true;
      // It is further, and so is this process then. Or it serves another ring of the same epoch
      // (two changes at once, each accepted by another node): whoever knows that one still uses it.
      await topology.refresh(topology.snapshot);
      return false;
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      return false;
    }
  });
  return (await Promise.all(raised)).every(Boolean);
}
