/** Locks for tests: closed afterwards, each test in a namespace of its own. */
import { afterEach, beforeEach, expect } from 'vitest';
import {
  type CreateLocksOptions,
  createLocks,
  type LockEvents,
  type Locks,
} from '../../src/index.ts';
import { keysOf, type NodeKeys } from '../../src/node/node-keys.ts';
import { HashRing } from '../../src/ring/ring.ts';
import { seats } from '../cache/caches.ts';
import type { App, Fork } from '../support/fork.ts';
import { command } from '../support/nodes.ts';
import type { LockApp } from './lock-app.ts';

export type OpenLocks = Awaited<ReturnType<typeof createLocks>>;
type Options = CreateLocksOptions;

let tests = 0;

export interface LockRoom {
  /** The namespace of the running test. */
  readonly namespace: string;
  /** The Redis keys of that. */
  readonly keys: NodeKeys;
  /** Locks in this process. */
  open(options: Options): Promise<OpenLocks>;
  /** Locks in a process of its own. */
  openIn(fork: Fork, options: Options): Promise<App<LockApp>>;
}

// A node gets more time than by default: two cores are shared with other tests, and a
// request that is given up on is another test's subject.
const PATIENT = { timeout: '1s', connectTimeout: '1s' };

/** Nobody's rejection or warning is left unseen, in this process or another. */
export function useLocks(): LockRoom {
  const opened: OpenLocks[] = [];
  const apps: App<LockApp>[] = [];
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  const room = { namespace: '', keys: keysOf(''), open, openIn };
  beforeEach(() => {
    tests += 1;
    room.namespace = `l${process.pid}-${tests}`;
    room.keys = keysOf(room.namespace);
    unhandled.length = 0;
    process.on('unhandledRejection', note);
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((locks) => locks.close()));
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
    for (const app of apps.splice(0)) expect(app.output).toBe('');
  });
  async function open(options: Options): Promise<OpenLocks> {
    const { namespace } = room;
    const locks = await createLocks({ namespace, node: PATIENT, ...options });
    opened.push(locks);
    return locks;
  }
  async function openIn(fork: Fork, options: Options): Promise<App<LockApp>> {
    const app = await fork<LockApp>('../lock/lock-app.ts');
    apps.push(app);
    const { namespace } = room;
    const nodes = seats(options.nodes);
    await app.call('open', { namespace, node: PATIENT, ...options, nodes });
    return app;
  }
  return room;
}

/** The first `count` names that a ring of these nodes places on `node`. */
export async function namesOn(
  nodes: readonly { id: string }[],
  node: string,
  count = 1,
): Promise<string[]> {
  const ring = await HashRing.create(nodes.map(({ id }) => ({ id })));
  const names: string[] = [];
  for (let i = 0; names.length < count; i += 1) {
    if (ring.owner(`l${i}`) === node) names.push(`l${i}`);
  }
  return names;
}

/** Processes in the queue of a lock, as its node has them. */
export async function queueOf(
  node: { port: number },
  keys: NodeKeys,
  name: string,
): Promise<number> {
  return Number((await command(node, 'ZCARD', keys.queue(name))).slice(1));
}

/** Collects all that an event said from now on. */
export function heard<E extends keyof LockEvents>(locks: Locks, event: E): LockEvents[E][0][] {
  const all: LockEvents[E][0][] = [];
  locks.on(event, (...args: LockEvents[E]) => {
    all.push(args[0]);
  });
  return all;
}

/** The outcome as a value, so that a rejection is never unhandled. */
export function caught(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    (value) => value,
    (error: unknown) => error,
  );
}
