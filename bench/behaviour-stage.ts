/** What a scenario is played on: two processes with one library, and their Redis. */

import { Redis } from 'ioredis';
import type { LocalNode } from '../src/local.ts';
import type { Need } from './behaviour-libraries.ts';
import type { Answer, BehaviourRow, Outcome } from './behaviour-row.ts';
import { Child } from './child.ts';

export interface Scenario {
  /** Short; also the prefix of its keys. */
  readonly id: string;
  /** What holds, in words of the user. */
  readonly claim: string;
  readonly needs?: readonly Need[];
  /** Cuts connections: what comes after it is played by new processes, or it would be blamed for this. */
  readonly cuts?: true;
  /** Where the same claim is a test of ours. */
  readonly test: { readonly file: string; readonly name: string };
  /** Resolves when the claim held; rejects with Misbehaviour when it did not. */
  play(stage: Stage): Promise<void>;
}

/** A claim did not hold. The message is what a person would have seen. */
export class Misbehaviour extends Error {}

/** Nobody is in a hurry who answers within this. */
const PATIENT_MS = 3_000;
/** Long enough to see a load that should not begin; what begins is seen at once. */
const UNWANTED_MS = 150;

export class Stage implements Disposable {
  readonly first: Actor;
  readonly second: Actor;
  readonly node: LocalNode;
  /** Past all libraries, straight to the server. */
  readonly redis: Redis;

  constructor(node: LocalNode) {
    this.node = node;
    this.first = new Actor();
    this.second = new Actor();
    this.redis = new Redis(node.url, { retryStrategy: () => 20, enableReadyCheck: true });
    this.redis.on('error', () => {});
  }

  async open(library: string, variant?: string): Promise<void> {
    const plan = {
      library,
      url: this.node.url,
      ...(variant === undefined ? {} : { variant }),
    };
    await Promise.all([this.first, this.second].map((actor) => actor.child.ask('open', plan)));
  }

  /** How many keys Redis was asked for by `work`. */
  async lookUps(work: () => Promise<unknown>): Promise<number> {
    const count = async (): Promise<number> => {
      const text = await this.redis.info('stats');
      const [hits, misses] = ['hits', 'misses'].map((what) =>
        Number(new RegExp(`keyspace_${what}:(\\d+)`).exec(text)?.[1]),
      );
      return (hits ?? Number.NaN) + (misses ?? Number.NaN);
    };
    const before = await count();
    await work();
    return (await count()) - before;
  }

  [Symbol.dispose](): void {
    this.first.child[Symbol.dispose]();
    this.second.child[Symbol.dispose]();
    this.redis.disconnect();
  }
}

/** One of the processes. */
export class Actor {
  readonly child = new Child<BehaviourRow>('behaviour-row.ts');

  /** Loads of `key` that begin from now on return this at once. */
  async loaderReturns(key: string, value: unknown): Promise<void> {
    await this.child.ask('plan', { key, answer: { value } });
  }

  async loaderThrows(key: string, error: string): Promise<void> {
    await this.child.ask('plan', { key, answer: { error } });
  }

  /** Loads of `key` wait again to be told what to return. */
  async loaderWaits(key: string): Promise<void> {
    await this.child.ask('plan', { key, answer: null });
  }

  async calls(key: string): Promise<number> {
    return (await this.child.ask('waitForCalls', { key, calls: 0, withinMs: 0 })).calls;
  }

  async mostAtOnce(key: string): Promise<number> {
    return (await this.child.ask('waitForCalls', { key, calls: 0, withinMs: 0 })).mostAtOnce;
  }

  /** A read that has begun, and whose load waits to be told what to return. */
  async beginLoad(key: string): Promise<Reading> {
    const before = await this.calls(key);
    const reading = await this.begin(key);
    const wanted = { key, calls: before + 1, withinMs: PATIENT_MS };
    const { calls } = await this.child.ask('waitForCalls', wanted);
    if (calls <= before) throw new Misbehaviour('the loader was not called on a miss');
    return reading;
  }

  async begin(key: string): Promise<Reading> {
    return new Reading(this, key, await this.child.ask('begin', { key }));
  }

  /** Whether one load more than so many begins within a while. */
  async loadsAgain(key: string, than: number): Promise<boolean> {
    const wanted = { key, calls: than + 1, withinMs: UNWANTED_MS };
    return (await this.child.ask('waitForCalls', wanted)).calls > than;
  }

  async finishLoad(key: string, answer: Answer): Promise<void> {
    await this.child.ask('finish', { key, answer });
  }

  read(key: string, withinMs: number = PATIENT_MS): Promise<Outcome> {
    return this.child.ask('step', { step: { do: 'getOrSet', key }, withinMs });
  }

  async set(key: string, value: unknown): Promise<void> {
    const step = { do: 'set', key, value } as const;
    demandSuccess('set', await this.child.ask('step', { step, withinMs: PATIENT_MS }));
  }

  async delete(key: string): Promise<void> {
    demandSuccess('delete', await this.tryDelete(key));
  }

  tryDelete(key: string): Promise<Outcome> {
    return this.child.ask('step', { step: { do: 'delete', key }, withinMs: PATIENT_MS });
  }

  async readsThat(key: string, wanted: unknown): Promise<void> {
    demandValue('a read', await this.read(key), wanted);
  }
}

/** A call of getOrSet under way. */
export class Reading {
  readonly #actor: Actor;
  readonly #key: string;
  readonly #caller: number;

  constructor(actor: Actor, key: string, caller: number) {
    this.#actor = actor;
    this.#key = key;
    this.#caller = caller;
  }

  /** Lets its load return, and waits for the caller to have the answer. */
  async finish(value: unknown): Promise<Outcome> {
    await this.#actor.finishLoad(this.#key, { value });
    return this.outcome();
  }

  outcome(): Promise<Outcome> {
    const asked = { caller: this.#caller, withinMs: PATIENT_MS };
    return this.#actor.child.ask('outcome', asked);
  }
}

export function demand(holds: boolean, otherwise: string): void {
  if (!holds) throw new Misbehaviour(otherwise);
}

export function demandValue(what: string, { kind, text }: Outcome, wanted: unknown): void {
  const expected = JSON.stringify(wanted) ?? 'undefined';
  if (kind === 'value' && text === expected) return;
  if (kind === 'pending') throw new Misbehaviour(`${what} had ${text}`);
  throw new Misbehaviour(`${what} ${kind === 'error' ? 'threw' : 'gave'} ${text}, not ${expected}`);
}

function demandSuccess(what: string, { kind, text }: Outcome): void {
  if (kind !== 'value') throw new Misbehaviour(`${what}: ${text}`);
}
