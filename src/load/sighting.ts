/** A single look at a node outside the hot path, as a promise. */
import type { Clock } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { CacheNode, Stored } from '../node/node.ts';

/** What was seen at a node, and under which epoch; an epoch below 0: the node has none. */
export interface Sighting {
  readonly stored: Stored | undefined;
  readonly epoch: number;
}

/** @throws NodeUnavailableError */
export function lookUp(node: CacheNode, key: string): Promise<Sighting> {
  return new Promise((resolve, reject) => {
    node.read(
      key,
      {
        found: (_position, stored, epoch) => resolve({ stored, epoch }),
        failed: (_position, error) => reject(error),
      },
      0,
    );
  });
}

/**
 * What `request` resolves to, if it does within `leftMs`.
 *
 * @throws NodeUnavailableError when it does not; the request goes on, and its outcome is ignored.
 */
export function within<T>(
  request: Promise<T>,
  leftMs: number,
  at: { clock: Clock; node: string },
): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = at.clock.after(Math.max(0, leftMs), () => {
      // What has arrived while this process was busy counts as arrived.
      at.clock.soon(() => reject(new NodeUnavailableError(at.node, 'timeout')));
    });
    request.then(resolve, reject).finally(() => timer.cancel());
  });
}
