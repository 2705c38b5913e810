/** One server's locks for tests: asked by nodes as a process asks them, and looked at by hand. */
import { beforeEach } from 'vitest';
import type { LocalNode } from '../../src/local.ts';
import type { AcquireAsk, LockNode } from '../../src/node/lock-node.ts';
import { command } from '../support/nodes.ts';
import { FENCE, type Subject, type SubjectOptions, useSubjects } from './subject.ts';

export const LONGEST_MS = 60_000;
export const PROFILE = `ring-${LONGEST_MS}`;

export function askOf(token: string, more: Partial<AcquireAsk> = {}): AcquireAsk {
  return { token, ttlMs: 10_000, fence: FENCE, profile: PROFILE, waiter: '', floor: 0, ...more };
}

/** Opens the gate of a node that nobody has used, as the first process of a fleet does. */
export async function openGate(locks: LockNode): Promise<void> {
  for (const claim of ['new', 'open'] as const) {
    await locks.knock({ profile: PROFILE, longestMs: LONGEST_MS, claim });
  }
}

export interface LockBench {
  readonly subject: Subject;
  readonly locks: LockNode;
  /** Another process's view of the same server. */
  another(options?: SubjectOptions & { readonly url?: string }): Promise<Subject>;
  /** One command, and its raw answer. */
  redis(...words: string[]): Promise<string>;
  /** The same as a number. */
  number(...words: string[]): Promise<number>;
  /** The same as text; undefined when there is none. */
  text(...words: string[]): Promise<string | undefined>;
  /** A member of the queue of `name` that came `at` so many microseconds. */
  enqueue(name: string, at: number, place: string): Promise<void>;
}

/** Before each test: the server is empty, and its gate is open. */
export function useLocks(nodes: readonly LocalNode[]): LockBench {
  const start = useSubjects();
  const redis = (...words: string[]) => command(nodes[0]!, ...words);
  let subject: Subject;
  beforeEach(async () => {
    await redis('FLUSHALL');
    subject = await start(nodes[0]!);
    await openGate(subject.node.locks);
  });
  const bench: LockBench = {
    get subject() {
      return subject;
    },
    get locks() {
      return subject.node.locks;
    },
    another: ({ url, ...options } = {}) =>
      start({ id: nodes[0]!.id, url: url ?? nodes[0]!.url }, options),
    redis,
    async number(...words) {
      return Number((await bench.text(...words)) ?? Number.NaN);
    },
    async text(...words) {
      const [head = '', body] = (await redis(...words)).split('\r\n');
      if (head.startsWith('$')) return head === '$-1' ? undefined : body;
      return head.slice(1);
    },
    async enqueue(name, at, place) {
      await redis('ZADD', `rc:k:q:${name}`, String(at), place);
    },
  };
  return bench;
}
