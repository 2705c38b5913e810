/** Real Redis nodes for a test file. */
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type LocalNode, type LocalNodesOptions, startLocalNodes } from '../../src/local.ts';

export { command } from './command.ts';

/**
 * Starts `count` nodes before the tests of the file (or of the enclosing
 * `describe`) and ends them after. What a test has killed, stopped or paused
 * runs again when the next one begins: restarted empty, or resumed.
 *
 * The array is filled when the first test or `beforeEach` runs:
 *
 * ```ts
 * const nodes = useNodes(3);
 * test('…', async () => { await nodes[0]!.kill(); … });
 * ```
 */
export function useNodes(count: number, options: LocalNodesOptions = {}): LocalNode[] {
  const nodes: LocalNode[] = [];
  let close: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    const started = await startLocalNodes(count, options);
    close = () => started.close();
    nodes.push(...started);
  });
  afterEach(async () => {
    await Promise.all(nodes.map((node) => (node.running ? node.resume() : node.restart())));
  });
  afterAll(async () => {
    await close?.();
    nodes.length = 0;
  });
  return nodes;
}
