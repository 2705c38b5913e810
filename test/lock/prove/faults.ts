/**
 * What is done to the processes and the servers of a run. Each injection
 * resolves when what it has broken is whole again: to false when it found no
 * occasion.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LocalNode } from '../../../src/local.ts';
import type { App } from '../../support/app.ts';
import { command } from '../../support/command.ts';
import type { Cast } from '../../support/prove/cast.ts';
import type { FaultProxy } from '../../support/proxy.ts';
import type { Ambush } from './player.ts';
import type { Account, Worker } from './worker.ts';

type Process = App<Worker>;

export interface Stage {
  readonly cast: Cast<Account, Worker>;
  /** Those that the locks are on. */
  readonly nodes: readonly LocalNode[];
  /** One in front of each node, when the fault asks for them. */
  readonly proxies: readonly FaultProxy[];
  readonly ttlMs: number;
  readonly random: () => number;
}

export interface Fault {
  readonly name: string;
  readonly about: string;
  /** The processes run all the time: what they are told late is the fault of the locks. */
  readonly sparesProcesses?: boolean;
  readonly behindProxies?: boolean;
  /**
   * It strikes between two turns of the event loop, so not between the last look
   * of the locks at what is left and the first of whoever they give it to: no
   * lock may be over when it is given out.
   */
  readonly strikesBetweenTurns?: boolean;
  /** What stood still goes on: without fences, some of what it writes comes too late. */
  readonly writesLate?: boolean;
  /** @param round Counts from 0: what there are several kinds of comes in turns. */
  readonly inject?: (stage: Stage, round: number) => Promise<boolean>;
}

/** Long enough for a signal to reach a process that has said where it is. */
const STAY_MS = 40;
const PATIENCE_MS = 2_000;

export const FAULTS: readonly Fault[] = [
  {
    name: 'none',
    about: 'nothing is done',
    sparesProcesses: true,
  },
  {
    name: 'holder-killed',
    about: 'a process is killed while it holds a lock, and another one started',
    inject: (stage) => caught(stage, 'holding', (one) => stage.cast.replace(one)),
  },
  {
    name: 'holder-stopped',
    about: 'a process is stopped while it holds a lock, and goes on after its end',
    writesLate: true,
    inject: (stage) => caught(stage, 'holding', (one) => stop(one, pastTtl(stage))),
  },
  {
    name: 'waiter-killed',
    about: 'a process is killed while it waits for a lock, and another one started',
    inject: (stage) => caught(stage, 'waiting', (one) => stage.cast.replace(one)),
  },
  {
    name: 'waiter-stopped',
    about: 'a process is stopped while it waits for a lock or has just asked for one',
    inject: (stage, round) => {
      const where = round % 2 === 0 ? 'waiting' : 'asking';
      return caught(stage, where, (one) => stop(one, pastTtl(stage)));
    },
  },
  {
    name: 'loop-blocked',
    about:
      'the event loop of a process is blocked past the ttl, while it holds or after it has asked',
    strikesBetweenTurns: true,
    writesLate: true,
    inject(stage, round) {
      const where = round % 2 === 0 ? 'holding' : 'asking';
      const blocked = pick(stage.cast.playing, stage).call('block', where, pastTtl(stage));
      return inTime(blocked, PATIENCE_MS + pastTtl(stage));
    },
  },
  {
    name: 'clock-jumped',
    about: 'the wall clock of a process that holds a lock is set back or ahead, by up to 10 s',
    inject(stage, round) {
      // Back and ahead; at one that is renewed, and one that has to come to an end.
      const ms = (1 + stage.random() * 9) * (round % 2 === 0 ? -1_000 : 1_000);
      const where = round % 4 < 2 ? 'overstaying' : 'holding';
      const stayMs = stage.ttlMs * 1.5;
      const jump = (one: Process): Promise<void> => one.call('jump', ms).then(() => sleep(stayMs));
      return caught(stage, where, jump, stayMs);
    },
  },
  {
    name: 'redis-stopped',
    about: 'a Redis is stopped for up to three times the ttl, while locks on it are held',
    sparesProcesses: true,
    async inject(stage, round) {
      const node = pick(stage.nodes, stage);
      const isCaught = await longHolder(stage, round);
      await node.pause();
      await sleep(stage.ttlMs * (0.5 + 2.5 * stage.random()));
      await node.resume();
      return isCaught;
    },
  },
  {
    name: 'redis-killed',
    about: 'a Redis is killed while locks on it are held, and started again, empty',
    sparesProcesses: true,
    async inject(stage, round) {
      const isCaught = await longHolder(stage, round);
      await pick(stage.nodes, stage).restart();
      await sleep(stage.ttlMs);
      return isCaught;
    },
  },
  {
    name: 'flushall',
    about: 'a Redis loses all its data while locks on it are held',
    sparesProcesses: true,
    async inject(stage, round) {
      const isCaught = await longHolder(stage, round);
      await command(pick(stage.nodes, stage), 'FLUSHALL');
      await sleep(stage.ttlMs);
      return isCaught;
    },
  },
  {
    name: 'script-flush',
    about: 'a Redis forgets its scripts',
    sparesProcesses: true,
    async inject(stage) {
      await command(pick(stage.nodes, stage), 'SCRIPT', 'FLUSH');
      return true;
    },
  },
  {
    name: 'replies-dropped',
    about: 'what a Redis answers is lost for a while, and then the connections with it',
    sparesProcesses: true,
    behindProxies: true,
    async inject(stage, round) {
      const proxy = pick(stage.proxies, stage);
      const isCaught = await longHolder(stage, round);
      proxy.set({ kind: 'drop' });
      await sleep(stage.ttlMs * 1.2 * stage.random());
      // A stream that goes on after a gap is nothing that TCP does.
      proxy.reset();
      proxy.set({ kind: 'none' });
      return isCaught;
    },
  },
  {
    name: 'replies-slow',
    about: 'what a Redis, or all of them, answer comes later than anybody waits for it',
    sparesProcesses: true,
    behindProxies: true,
    async inject(stage, round) {
      const slow = round % 2 === 0 ? stage.proxies : [pick(stage.proxies, stage)];
      const isCaught = await longHolder(stage, round);
      for (const proxy of slow) proxy.set({ kind: 'latency', ms: 90 + 80 * stage.random() });
      await sleep(stage.ttlMs * (0.5 + 1.5 * stage.random()));
      for (const proxy of slow) proxy.set({ kind: 'none' });
      return isCaught;
    },
  },
];

/** Waits until a caller of some process is where it is wanted, and does something to the process. */
async function caught(
  stage: Stage,
  where: Ambush['where'],
  attack: (one: Process) => Promise<unknown>,
  stayMs: number = STAY_MS,
): Promise<boolean> {
  const one = pick(stage.cast.playing, stage);
  if (!(await inTime(one.call('catchOne', where, stayMs), PATIENCE_MS))) return false;
  await attack(one);
  return true;
}

/** Somebody holds a lock for longer than its time: it is renewed, or is not, or is given less time. */
function longHolder(stage: Stage, round: number): Promise<boolean> {
  const where = (['shortening', 'overstaying', 'holding'] as const)[round % 3]!;
  const stayMs = where === 'shortening' ? STAY_MS : stage.ttlMs * 1.5;
  return caught(stage, where, () => Promise.resolve(), stayMs);
}

async function stop(one: Process, ms: number): Promise<void> {
  one.signal('SIGSTOP');
  await sleep(ms);
  one.signal('SIGCONT');
}

function pastTtl({ ttlMs, random }: Stage): number {
  return ttlMs * (1.1 + 0.5 * random());
}

function pick<T>(all: readonly T[], { random }: Stage): T {
  return all[Math.floor(random() * all.length)]!;
}

async function inTime(work: Promise<unknown>, ms: number): Promise<boolean> {
  const limit = new AbortController();
  const late = sleep(ms, false, { signal: limit.signal }).catch(() => false);
  const done = work.then(
    () => true,
    () => false,
  );
  const isInTime = await Promise.race([done, late]);
  limit.abort();
  return isInTime;
}
