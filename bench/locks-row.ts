/** One row of the locks benchmark, in a process of its own: many clients of one lock library. */

import { setTimeout as sleep } from 'node:timers/promises';
import { obey, type Spent, spend } from './child.ts';
import { type Kept, type LockClient, openLocks, type Release } from './locks-peers.ts';
import { seededRandom } from './random.ts';

let row = '';
let clients: LockClient[] = [];
let serial = 0;

async function open(plan: { row: string; url: string; clients: number }): Promise<void> {
  row = plan.row;
  clients = await Promise.all(Array.from({ length: plan.clients }, () => openLocks(row, plan.url)));
  // Each once, so that nothing is done for the first time when it counts: alone, then waiting.
  for (const client of clients) await (await client.acquire(freshName()))();
  if (plan.clients > 1) await handOffMany({ waiters: plan.clients - 1, holdMs: 1, settleMs: 1 });
}

/** All rows share one server, and redlock and ioredis put the name into it as it is. */
function freshName(): string {
  serial += 1;
  return `${row}:${serial}`;
}

/** What one lock protects: it finds out when two are inside, and how long the next one took. */
class Section {
  readonly #name = freshName();
  #inside = false;
  #leftAt = 0;
  /** From the call of release() to the end of the next acquire(). */
  readonly handOffsMs: number[] = [];

  async enter(client: LockClient): Promise<Release> {
    const release = await client.acquire(this.#name);
    const now = performance.now();
    if (this.#inside) throw new Error(`${row}: two hold ${this.#name} at once`);
    this.#inside = true;
    if (this.#leftAt > 0) this.handOffsMs.push(now - this.#leftAt);
    return release;
  }

  async leave(release: Release): Promise<void> {
    this.#inside = false;
    this.#leftAt = performance.now();
    // Only ringcache says whether the lock was still the caller's; redlock throws if not.
    if ((await release()) === false) throw new Error(`${row}: ${this.#name} was lost`);
  }
}

/** Two clients, one of them always waiting. They hold at random, so that no polling is met in step. */
async function handOffOne(plan: {
  handOffs: number;
  holdMs: readonly [least: number, most: number];
  seed: number;
}): Promise<number[]> {
  const section = new Section();
  const random = seededRandom(plan.seed);
  const [least, most] = plan.holdMs;
  let release = await section.enter(clients[0]!);
  for (let turn = 1; turn <= plan.handOffs; turn++) {
    const waiting = section.enter(clients[turn % 2]!);
    await sleep(least + random() * (most - least));
    const [next] = await Promise.all([waiting, section.leave(release)]);
    release = next;
  }
  await section.leave(release);
  return section.handOffsMs;
}

/** What a round of many waiters took. */
export interface Drained {
  readonly handOffsMs: readonly number[];
  /** From the first release until the last of the waiters has done its work. */
  readonly drainMs: number;
}

async function handOffMany(plan: {
  waiters: number;
  holdMs: number;
  settleMs: number;
}): Promise<Drained> {
  const section = new Section();
  const first = await section.enter(clients[0]!);
  const waiting = clients.slice(1, plan.waiters + 1).map(async (client) => {
    const release = await section.enter(client);
    await sleep(plan.holdMs);
    const doneAt = performance.now();
    await section.leave(release);
    return doneAt;
  });
  await sleep(plan.settleMs);
  const start = performance.now();
  await section.leave(first);
  const doneAt = await Promise.all(waiting);
  return { handOffsMs: section.handOffsMs, drainMs: Math.max(...doneAt) - start };
}

/** What each client of a closed loop had, over the time it ran. */
export interface Competed {
  readonly acquired: readonly number[];
  readonly longestWaitMs: number;
  /** With those who waited when the time was over and came after it. */
  readonly withLate: number;
}

async function compete(plan: {
  clients: number;
  holdMs: number;
  forMs: number;
}): Promise<Competed> {
  const section = new Section();
  const end = performance.now() + plan.forMs;
  let longestWaitMs = 0;
  let withLate = 0;
  const competing = clients.slice(0, plan.clients).map(async (client) => {
    let acquired = 0;
    for (;;) {
      const asked = performance.now();
      if (asked >= end) return acquired;
      const release = await section.enter(client);
      const now = performance.now();
      longestWaitMs = Math.max(longestWaitMs, Math.min(now, end) - asked);
      withLate += 1;
      if (now < end) {
        acquired += 1;
        await sleep(plan.holdMs);
      }
      await section.leave(release);
    }
  });
  return { acquired: await Promise.all(competing), longestWaitMs, withLate };
}

/** Acquires and releases, each of `atOnce` loops a lock of its own, all through one client. */
function pairs(plan: { operations: number; atOnce: number }): Promise<Spent> {
  const client = clients[0]!;
  return spend(async () => {
    let left = plan.operations;
    let done = 0;
    const loop = async (_: unknown, i: number): Promise<void> => {
      const name = `${row}:pair:${i}`;
      while (left > 0) {
        left -= 1;
        const release = await client.acquire(name);
        if ((await release()) !== false) done += 1;
      }
    };
    await Promise.all(Array.from({ length: plan.atOnce }, loop));
    return done;
  });
}

let endQueue: () => Promise<unknown> = async () => {};

/** One holds, all others wait, until `dissolve`. */
async function queueUp(waiters: number): Promise<void> {
  const section = new Section();
  const first = await section.enter(clients[0]!);
  const waiting = clients
    .slice(1, waiters + 1)
    .map(async (client) => section.leave(await section.enter(client)));
  endQueue = async () => {
    await section.leave(first);
    await Promise.all(waiting);
  };
}

async function dissolve(): Promise<void> {
  await endQueue();
}

let kept: Kept | undefined;
let toldAt: number | undefined;
let told = Promise.withResolvers<void>();

/** Answers whether this library would tell the holder of a loss. */
async function keep(ttlMs: number): Promise<boolean> {
  told = Promise.withResolvers();
  toldAt = undefined;
  kept = await clients[0]!.keep?.(freshName(), ttlMs, () => {
    toldAt ??= performance.now();
    told.resolve();
  });
  return kept !== undefined;
}

/** How long after the end of its lock the holder was told; null: not within `forMs` of it. */
async function lateMs(forMs: number): Promise<number | null> {
  if (kept === undefined) return null;
  const end = kept.validUntil();
  await Promise.race([told.promise, sleep(end + forMs - performance.now())]);
  return toldAt === undefined ? null : toldAt - end;
}

function letGo(): void {
  kept?.letGo();
}

const handlers = {
  open,
  handOffOne,
  handOffMany,
  compete,
  pairs,
  queueUp,
  dissolve,
  keep,
  lateMs,
  letGo,
};
export type LocksRow = typeof handlers;
obey(handlers);
