/** A process with local nodes of its own, to see what becomes of them when it ends. */
import { type LocalNodes, startLocalNodes } from '../../src/local.ts';
import { serve } from './serve.ts';

let nodes: LocalNodes | undefined;

const handlers = {
  /** The process ids of its nodes. */
  async start(count: number): Promise<number[]> {
    nodes = await startLocalNodes(count);
    return nodes.map((node) => node.pid ?? 0);
  },
  async pause(index: number): Promise<void> {
    await nodes?.[index]?.pause();
  },
  /** Ends this process after the answer is on its way. */
  end(how: 'exit' | 'exception' | 'rejection' | 'idle'): void {
    setImmediate(() => {
      if (how === 'exit') process.exit(3);
      if (how === 'exception') throw new Error('nobody catches this');
      if (how === 'rejection') void Promise.reject(new Error('nobody handles this'));
      if (how === 'idle') process.channel?.unref();
    });
  },
};
export type LocalNodesApp = typeof handlers;

serve(handlers);
