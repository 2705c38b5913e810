/** A single look at a node outside the hot path, as a promise. */
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
