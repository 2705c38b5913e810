/**
 * How a new document comes into force: one node, the control, accepts it or
 * another that was made from the same one; then every node is raised to it.
 */
import { NodeUnavailableError, TopologyBusyError } from '../errors.ts';
import type { CacheNode } from '../node/node.ts';
import { encodeDocument, fenceOfDocument, type TopologyDocument } from './document.ts';
import type { Snapshot } from './snapshot.ts';

/** What announcing needs of the topology. */
export interface Announcer {
  readonly snapshot: Snapshot;
  readonly document: TopologyDocument;
  /** The node that decides which document comes next. */
  readonly control: CacheNode | undefined;
  /** Learns what a node knows, without waiting until it is taken up: an admission may be waited for. */
  hearFrom(node: CacheNode): Promise<unknown>;
  /** A document is to be accepted: it is taken up by whoever proposes it, when he is ready. */
  proposing(next: TopologyDocument): void;
}

/** An answer may be lost: the same document is accepted again. */
const TRIES = 2;

/**
 * Has the control accept a document: of all that are made from the same one,
 * the first.
 *
 * @param at Decides in place of the control, when that is lost.
 * @throws TopologyBusyError, NodeUnavailableError
 */
export async function propose(
  topology: Announcer,
  next: TopologyDocument,
  at: CacheNode | undefined = topology.control,
): Promise<void> {
  const { control } = topology.document;
  topology.proposing(next);
  let failure = new NodeUnavailableError(control.id, 'closed');
  for (let left = TRIES; at !== undefined && left > 0; left--) {
    try {
      const answer = await at.install(fenceOfDocument(next), encodeDocument(next));
      if (answer.kind === 'installed') return;
      if (answer.kind === 'stale') {
        await topology.hearFrom(at);
        throw new TopologyBusyError(topology.document.epoch);
      }
      // It was emptied: what is newest is asked of the others before it decides anything.
      await at.readmit();
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      failure = error;
    }
  }
  throw new NodeUnavailableError(
    control.id,
    failure.reason,
    'it decides about changes of the ring, and does not answer; if it is lost, ' +
      '`ringcache topology recover` lets another node decide',
    { cause: failure },
  );
}

/**
 * Raises every node of the rings in force, and those that have just left: who
 * has not heard still asks them. Resolves to the ids of those that are not known
 * to be raised to this document; they are when they are admitted again.
 */
export async function raiseAll(
  topology: Announcer,
  document: TopologyDocument,
): Promise<Set<string>> {
  const [fence, text] = [fenceOfDocument(document), encodeDocument(document)];
  const { control, snapshot } = topology;
  const nodes = new Set(snapshot.lockNodes());
  if (control !== undefined) nodes.add(control);
  const missing = new Set<string>();
  const raised = Array.from(nodes, async (node) => {
    try {
      let answer = await node.install(fence, text);
      if (answer.kind === 'unknown') {
        await node.readmit();
        answer = await node.install(fence, text);
      }
      if (answer.kind === 'installed') return;
      missing.add(node.id);
      // It is further, and so is this process then.
      if (answer.kind === 'stale') await topology.hearFrom(node);
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) throw error;
      missing.add(node.id);
    }
  });
  await Promise.all(raised);
  return missing;
}
