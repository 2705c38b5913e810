/**
 * How many commands a lock costs its server: counted by MONITOR, every one that
 * a client sent, those inside of scripts left out. On a server of its own for
 * each row, so that nobody else's are counted; nothing is timed here.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startLocalNodes } from '../src/local.ts';
import { Child } from './child.ts';
import type { LocksRow } from './locks-row.ts';

export interface CommandsPlan {
  readonly clients: number;
  readonly holdMs: number;
  readonly competeMs: number;
  readonly pairs: number;
  /** Until those who wait have found their pace, and how long they are then counted. */
  readonly settleMs: number;
  readonly waitMs: number;
}

export interface Commands {
  /** Per acquire and release of a lock that nobody else wants. */
  readonly alone: number;
  /** Per acquire and release of a lock that all clients want all the time. */
  readonly contended: number;
  /** Per waiting client and second, while another one holds the lock. */
  readonly waiting: number;
}

export async function countCommands(row: string, plan: CommandsPlan): Promise<Commands> {
  await using nodes = await startLocalNodes(1);
  using child = new Child<LocksRow>('locks-row.ts');
  const { url } = nodes[0]!;
  await child.ask('open', { row, url, clients: plan.clients });
  await using counter = await CommandCounter.open(url);
  const alone = await counter.during(() =>
    child.ask('pairs', { operations: plan.pairs, atOnce: 1 }),
  );
  const { clients, holdMs } = plan;
  const contended = await counter.during(() =>
    child.ask('compete', { clients, holdMs, forMs: plan.competeMs }),
  );
  await child.ask('queueUp', clients - 1);
  await sleep(plan.settleMs);
  const start = performance.now();
  const waiting = await counter.during(() => sleep(plan.waitMs));
  const seconds = (performance.now() - start) / 1000;
  await child.ask('dissolve', undefined);
  return {
    alone: alone.commands / plan.pairs,
    contended: contended.commands / contended.result.withLate,
    waiting: waiting.commands / (clients - 1) / seconds,
  };
}

class CommandCounter implements AsyncDisposable {
  readonly #redis: Redis;
  readonly #monitor: Redis;
  #count = 0;
  #marks = 0;
  #seen: () => void = () => {};

  private constructor(redis: Redis, monitor: Redis) {
    this.#redis = redis;
    this.#monitor = monitor;
    monitor.on('monitor', (_time: string, [command, mark]: string[], source: string) => {
      if (command === 'echo' && mark === `mark ${this.#marks}`) this.#seen();
      else if (source !== 'lua') this.#count += 1;
    });
  }

  static async open(url: string): Promise<CommandCounter> {
    const redis = new Redis(url);
    return new CommandCounter(redis, await redis.monitor());
  }

  async during<T>(work: () => Promise<T>): Promise<{ result: T; commands: number }> {
    await this.#reach();
    this.#count = 0;
    const result = await work();
    await this.#reach();
    return { result, commands: this.#count };
  }

  /** The server shows commands in the order in which it ran them: before the mark stands all that came before. */
  async #reach(): Promise<void> {
    this.#marks += 1;
    const seen = new Promise<void>((resolve) => {
      this.#seen = resolve;
    });
    await this.#redis.echo(`mark ${this.#marks}`);
    await seen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#monitor.disconnect();
    this.#redis.disconnect();
  }
}
