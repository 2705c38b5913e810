/** A process with locks of its own: that they exclude other processes can be seen only with several. */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type CacheOptions,
  type CreateLocksOptions,
  createCache,
  createLocks,
  type Lock,
  type LockEvents,
  type LockOptions,
  type LockStats,
  type LockStatus,
  type Locks,
} from '../../src/index.ts';
import { serve } from '../support/serve.ts';

let locks: Locks;
let close: () => Promise<void>;
const held = new Map<number, Lock>();
const events: { name: string; said: unknown }[] = [];
let count = 0;

/** Comparable between the processes of one machine, and never set back in one. */
const now = (): number => performance.timeOrigin + performance.now();

export interface Held {
  readonly id: number;
  readonly fence: number;
  readonly token: string;
  readonly at: number;
  readonly remaining: number;
}

/** When a lock was had, and with what number. */
export interface Turn {
  readonly from: number;
  readonly to: number;
  readonly fence: number;
}

function keep(lock: Lock): Held {
  const at = now();
  count += 1;
  held.set(count, lock);
  return { id: count, fence: lock.fence, token: lock.token, at, remaining: lock.remaining() };
}

function lockOf(id: number): Lock {
  const lock = held.get(id);
  if (lock === undefined) throw new Error(`no lock ${id}`);
  return lock;
}

function use(opened: Locks, closing: () => Promise<void>): void {
  locks = opened;
  close = closing;
  for (const name of ['lost', 'quarantined', 'evictable'] satisfies (keyof LockEvents)[]) {
    locks.on(name, (said: unknown) => events.push({ name, said }));
  }
}

async function takeTurns(
  name: string,
  plan: { readonly turns: number; readonly holdMs: number; readonly options?: LockOptions },
): Promise<Turn[]> {
  const turns: Turn[] = [];
  for (let i = 0; i < plan.turns; i += 1) {
    await locks.using(name, { waitTimeout: '30s', ...plan.options }, async ({ fence }) => {
      const from = now();
      await sleep(plan.holdMs);
      turns.push({ from, to: now(), fence });
    });
  }
  return turns;
}

const handlers = {
  async open(options: CreateLocksOptions): Promise<void> {
    const opened = await createLocks(options);
    use(opened, () => opened.close());
  },
  async openCache(options: CacheOptions): Promise<void> {
    const cache = await createCache(options);
    use(cache.locks, () => cache.close());
  },
  async acquire(name: string, options?: LockOptions): Promise<Held> {
    return keep(await locks.acquire(name, options));
  },
  async tryAcquire(name: string, options?: LockOptions): Promise<Held | null> {
    const lock = await locks.tryAcquire(name, options);
    return lock === null ? null : keep(lock);
  },
  /** When it was released, and whether it was ours. */
  async release(id: number): Promise<{ at: number; confirmed: boolean }> {
    const at = now();
    return { at, confirmed: await lockOf(id).release() };
  },
  extend: (id: number, ttl: number) => lockOf(id).extend(ttl),
  lock(id: number): { held: boolean; remaining: number; aborted: boolean; reason: unknown } {
    const lock = lockOf(id);
    const { signal } = lock;
    const reason: unknown = signal.aborted ? Reflect.get(signal.reason as object, 'reason') : '';
    return { held: lock.held, remaining: lock.remaining(), aborted: signal.aborted, reason };
  },
  takeTurns,
  inspect: (name: string): Promise<LockStatus> => locks.inspect(name),
  stats: (): LockStats => locks.stats(),
  events: () => events,
  /** Stands still, as a process with a long computation does. */
  block(ms: number): void {
    for (const end = now() + ms; now() < end; );
  },
  /** Lets the process end as soon as nothing but this channel keeps it alive. */
  async leave(work: 'close' | 'none'): Promise<void> {
    if (work === 'close') await close();
    setImmediate(() => process.channel?.unref());
  },
};
export type LockApp = typeof handlers;

serve(handlers);
