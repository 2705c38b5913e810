/**
 * Locks, beside the libraries that Node programs use: how long after release()
 * the next acquire() is granted, who gets it, what it costs, and when a holder
 * learns that it has lost its lock.
 *
 * All rows use one real node and take turns; every row is a process with 21
 * clients in it, each with connections of its own. What a lock costs that nobody
 * else wants is measured first, in processes with one client and nothing beside
 * them. A ringcache that has ever waited hears its nodes from then on, and asks
 * for a place in the queue with every lock: a row of its own. Whoever is granted a lock
 * checks that nobody else holds it, and every acquire is granted: the retries
 * of the peers are unlimited, the pause between them is their default, and a
 * row with a shorter one is beside it. Commands are counted apart from the
 * timed rounds, on a server that has MONITOR on (locks-commands.ts).
 *
 * Where it can be arranged, the server has one processor and the clients another:
 * with one pair at once, what is measured then is mostly how one wakes the other,
 * and the clients' processor time says more than pairs per second.
 *
 * When the server is stopped, the peers' end of validity is their own: the time
 * of the call and the ttl, less their allowance for drift.
 *
 * Many pollers flatter polling: with 20 of them one is always about to try. It
 * says nothing about a real network, several nodes, or holders that crash.
 */

import { type LocalNode, startLocalNodes } from '../src/local.ts';
import { describePinning, type Pinning, pin, planPinning } from './affinity.ts';
import type { Bench, BenchContext, Report } from './bench.ts';
import { Child, measureRemote, type RemoteTiming } from './child.ts';
import { type Commands, countCommands } from './locks-commands.ts';
import {
  AT_ONCE,
  CONTENDERS,
  KEEPERS,
  type LocksPlan,
  PAIRED,
  reportLocks,
} from './locks-report.ts';
import type { LocksRow } from './locks-row.ts';

type Children = ReadonlyMap<string, Child<LocksRow>>;

export const locks: Bench = {
  name: 'locks',
  about: 'locks beside redlock and redis-semaphore: hand-off, fairness, commands, pairs/s, loss',
  run,
};

function planOf({ parameter }: BenchContext): LocksPlan {
  const clients = parameter(4, 20);
  return {
    one: {
      rounds: parameter(1, 12),
      handOffs: parameter(2, 5),
      holdMs: parameter([1, 20], [20, 220]),
    },
    many: {
      rounds: parameter(1, 20),
      waiters: clients,
      holdMs: parameter(1, 5),
      // Until the pollers are out of step with each other.
      settleMs: parameter(5, 300),
    },
    loop: { rounds: parameter(1, 3), clients, holdMs: 1, forMs: parameter(100, 2_000) },
    pairs: {
      rounds: parameter(1, 15),
      warmup: parameter(0, 3),
      operations: parameter([50, 100], [1_000, 6_000]),
    },
    commands: {
      clients,
      pairs: parameter(10, 100),
      holdMs: 1,
      competeMs: parameter(50, 1_000),
      settleMs: parameter(5, 1_000),
      waitMs: parameter(50, 2_000),
    },
    // redlock 5 takes no shorter ttl without other settings.
    loss: {
      rounds: parameter(1, 5),
      ttlMs: parameter(700, 1_000),
      observeMs: parameter(300, 3_000),
    },
  };
}

async function run(context: BenchContext): Promise<Report> {
  const plan = planOf(context);
  const pinning = planPinning();
  await using nodes = await startLocalNodes(1);
  using stack = new DisposableStack();
  const node = nodes[0]!;
  if (pinning !== undefined) pin(node.pid, pinning.servers[0]!);
  context.progress(`${plan.pairs.rounds} rounds of pairs`);
  const pairs = await measurePairs({ pinning, url: node.url }, plan.pairs);
  context.progress('the rows are started');
  // One of them holds the lock while the others queue up.
  const clients = plan.many.waiters + 1;
  const children = await openAll(CONTENDERS, { stack, pinning, url: node.url, clients });

  const { rounds, ...one } = plan.one;
  context.progress(`${rounds} rounds with one waiter`);
  const oneWaiter = await inTurns(children, rounds, (child, round) =>
    child.ask('handOffOne', { ...one, seed: round }),
  );
  context.progress(`${plan.many.rounds} rounds with ${plan.many.waiters} waiters`);
  const manyWaiters = await inTurns(children, plan.many.rounds, (child) =>
    child.ask('handOffMany', plan.many),
  );
  context.progress(`${plan.loop.rounds} rounds of a closed loop`);
  const competed = await inTurns(children, plan.loop.rounds, (child) =>
    child.ask('compete', plan.loop),
  );
  const commands = await countAll(context, plan.commands);
  context.progress(`a server that stops, ${plan.loss.rounds} times`);
  const lateMs = await measureLoss(children, node, plan.loss);
  const figures = { oneWaiter, manyWaiters, competed, pairs, commands, lateMs };
  return reportLocks(figures, plan, describePinning(pinning));
}

interface Place {
  readonly pinning: Pinning | undefined;
  readonly url: string;
}

async function openAll(
  rows: readonly string[],
  options: Place & { readonly stack: DisposableStack; readonly clients: number },
): Promise<Children> {
  const { stack, pinning, ...plan } = options;
  const opened = rows.map(async (row) => {
    const child = stack.use(new Child<LocksRow>('locks-row.ts'));
    await child.ask('open', { row, ...plan });
    if (pinning !== undefined) pin(child.pid, pinning.client);
    return [row, child] as const;
  });
  return new Map(await Promise.all(opened));
}

/** Each contender once in every round, beginning with another one each time. */
async function inTurns<T>(
  children: Children,
  rounds: number,
  work: (child: Child<LocksRow>, round: number) => Promise<T>,
): Promise<ReadonlyMap<string, readonly T[]>> {
  const results = new Map(CONTENDERS.map((row) => [row as string, [] as T[]]));
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < CONTENDERS.length; turn++) {
      const row = CONTENDERS[(round + turn) % CONTENDERS.length]!;
      results.get(row)!.push(await work(children.get(row)!, round));
    }
  }
  return results;
}

/** By how many pairs were under way at once, and by row. */
async function measurePairs(
  place: Place,
  { operations: counts, ...options }: LocksPlan['pairs'],
): Promise<ReadonlyMap<number, ReadonlyMap<string, RemoteTiming>>> {
  using stack = new DisposableStack();
  const children = await openAll(PAIRED, { ...place, stack, clients: 1 });
  const byAtOnce = new Map<number, ReadonlyMap<string, RemoteTiming>>();
  for (const [i, atOnce] of AT_ONCE.entries()) {
    const operations = counts[i]!;
    const cases = PAIRED.map((row) => ({
      name: row,
      operations,
      run: () => children.get(row)!.ask('pairs', { operations, atOnce }),
    }));
    const timings = await measureRemote(cases, options);
    byAtOnce.set(atOnce, new Map(timings.map((timing) => [timing.name, timing])));
  }
  return byAtOnce;
}

/** One row after the other, as pollers that get less of the processor poll less. */
async function countAll(
  context: BenchContext,
  plan: LocksPlan['commands'],
): Promise<ReadonlyMap<string, Commands>> {
  const commands = new Map<string, Commands>();
  for (const row of CONTENDERS) {
    context.progress(`commands: ${row}`);
    commands.set(row, await countCommands(row, plan));
  }
  return commands;
}

/** All hold a lock when the server stops: how late each is told, or null; no entry where no library tells. */
async function measureLoss(
  children: Children,
  node: LocalNode,
  plan: LocksPlan['loss'],
): Promise<ReadonlyMap<string, readonly (number | null)[]>> {
  const lateMs = new Map<string, (number | null)[]>();
  for (let round = 0; round < plan.rounds; round++) {
    const holders: (readonly [string, Child<LocksRow>])[] = [];
    for (const row of KEEPERS) {
      const child = children.get(row)!;
      if (await child.ask('keep', plan.ttlMs)) holders.push([row, child]);
    }
    await node.pause();
    const late = holders.map(async ([row, child]) => {
      const told = await child.ask('lateMs', plan.observeMs);
      lateMs.set(row, [...(lateMs.get(row) ?? []), told]);
    });
    await Promise.all(late);
    await node.resume();
    await Promise.all(holders.map(([, child]) => child.ask('letGo', undefined)));
  }
  return lateMs;
}
