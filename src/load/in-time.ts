/** To take up another ring may mean to connect a node that hangs: nobody waits for that. */
import { type Clock, within } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { CacheNode } from '../node/node.ts';

/** How often an operation takes up a new snapshot before it goes on without the node, or gives up. */
export const SETTLE_ROUNDS = 3;

/** Settles as `news` does, or rejects with NodeUnavailableError of `node` when its time is over. */
export function inTime(
  news: Promise<void>,
  node: CacheNode,
  { clock, nodeTimeoutMs }: { readonly clock: Clock; readonly nodeTimeoutMs: number },
): Promise<void> {
  const late = (): Error => new NodeUnavailableError(node.id, 'timeout');
  return within(news, nodeTimeoutMs, { clock, late });
}
