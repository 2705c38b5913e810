/** A RedisNode for tests, with what it reported, and reads that can be awaited. */
import { afterEach } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import type { NodeUnavailableError } from '../../src/errors.ts';
import type { Place } from '../../src/node/address.ts';
import { PayloadCodec } from '../../src/node/codec.ts';
import { fenceOf } from '../../src/node/fence.ts';
import type { Admit, NodeState, Payload, Stored } from '../../src/node/node.ts';
import { RedisNode } from '../../src/node/redis-node.ts';
import {
  BREAKER_DEFAULTS,
  type BreakerTuning,
  NODE_DEFAULTS,
  type NodeTuning,
} from '../../src/node/tuning.ts';

export const FENCE = fenceOf(5, 'deadbeef');
export const EPOCH = 5;
export const LIFE = { ttlMs: 60_000, staleMs: 30_000, loadMs: 7 };

export const codec = new PayloadCodec();
export const payload = (value: unknown): Payload => codec.encode(value);

export interface SubjectOptions {
  readonly tuning?: Partial<NodeTuning>;
  readonly breaker?: Partial<BreakerTuning>;
  readonly admit?: Admit;
  readonly trusted?: () => boolean;
  readonly clock?: Clock;
  readonly namespace?: string;
  readonly codec?: PayloadCodec;
}

export type ReadResult =
  | { readonly stored: Stored | undefined; readonly epoch: number }
  | { readonly error: NodeUnavailableError };

export class Subject {
  readonly node: RedisNode;
  readonly states: NodeState['state'][] = [];
  readonly troubles: Error[] = [];
  readonly confirmed: string[] = [];
  /** What `admit` was asked. */
  greetings = 0;

  constructor(place: Place, options: SubjectOptions = {}) {
    const admit: Admit =
      options.admit ?? (() => ({ kind: 'install', fence: FENCE, document: '{}' }));
    this.node = new RedisNode(place, {
      clock: options.clock ?? systemClock,
      namespace: options.namespace ?? 'rc',
      codec: options.codec ?? codec,
      tuning: { ...NODE_DEFAULTS, ...options.tuning },
      breaker: { ...BREAKER_DEFAULTS, ...options.breaker },
      host: {
        admit: (id, greeting) => {
          this.greetings += 1;
          return admit(id, greeting);
        },
        trusted: options.trusted ?? (() => true),
      },
      listener: {
        state: (_, state) => this.states.push(state.state),
        trouble: (_, error) => this.troubles.push(error),
        confirmed: (_, key) => this.confirmed.push(key),
        raised: (_, { kind, name }) => this.confirmed.push(`${kind} ${name}`),
      },
    });
  }

  get up(): boolean {
    return this.node.state().state === 'up';
  }

  read(...keys: string[]): Promise<ReadResult[]> {
    return new Promise((resolve) => {
      const results: ReadResult[] = [];
      let left = keys.length;
      const take = (position: number, result: ReadResult): void => {
        if (results[position] !== undefined) throw new Error('answered twice');
        results[position] = result;
        left -= 1;
        if (left === 0) resolve(results);
      };
      const reader = {
        found: (position: number, stored: Stored | undefined, epoch: number) =>
          take(position, { stored, epoch }),
        failed: (position: number, error: NodeUnavailableError) => take(position, { error }),
      };
      for (const [position, key] of keys.entries()) this.node.read(key, reader, position);
    });
  }

  async readValue(key: string): Promise<unknown> {
    const [result] = await this.read(key);
    if (result === undefined || 'error' in result) throw result?.error ?? new Error('no result');
    return result.stored?.value;
  }

  set(key: string, value: unknown): ReturnType<RedisNode['write']> {
    return this.node.write(key, {
      payload: payload(value),
      life: LIFE,
      fence: FENCE,
      epoch: EPOCH,
    });
  }

  lease(key: string, token: string, leaseMs = 5_000): ReturnType<RedisNode['lease']> {
    return this.node.lease(key, { token, leaseMs, fence: FENCE });
  }

  fill(key: string, token: string, value: unknown): ReturnType<RedisNode['fill']> {
    return this.node.fill(key, {
      token,
      seq: 0,
      payload: payload(value),
      life: LIFE,
      fence: FENCE,
      epoch: EPOCH,
    });
  }
}

/** Makes subjects that are closed after each test. */
export function useSubjects(): (place: Place, options?: SubjectOptions) => Promise<Subject> {
  const subjects: Subject[] = [];
  afterEach(async () => {
    await Promise.all(subjects.splice(0).map((subject) => subject.node.close()));
  });
  return async (place, options) => {
    const subject = new Subject(place, options);
    subjects.push(subject);
    await subject.node.open();
    return subject;
  };
}

/** How long `work` took, and how it ended. */
export async function timed<T>(
  work: Promise<T>,
): Promise<{ ms: number; value?: T; error?: NodeUnavailableError }> {
  const start = performance.now();
  try {
    const value = await work;
    return { ms: performance.now() - start, value };
  } catch (error) {
    return { ms: performance.now() - start, error: error as NodeUnavailableError };
  }
}
