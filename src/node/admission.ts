/**
 * What a node goes through before it is used: after every connect, when its
 * breaker tries it again, and when it was found without an epoch.
 *
 *     greeting (run id, fence, document, time) → the topology decides
 *     → fence and document are installed → deletes it missed are done → in use
 *
 * Decides nothing itself: that is `Admit`. One runs at a time.
 */
import { type Clock, within } from '../clock.ts';
import { NodeUnavailableError } from '../errors.ts';
import type { Client, Connection } from './connection.ts';
import { judge } from './failure.ts';
import { GUARD_SCRIPTS } from './guard-scripts.ts';
import { LIFE_SCRIPTS } from './life-scripts.ts';
import { LOCK_SCRIPTS, RELEASE, releaseOperands } from './lock-scripts.ts';
import type { Admit, Greeting } from './node.ts';
import type { NodeClock } from './node-clock.ts';
import type { NodeKeys } from './node-keys.ts';
import { loadScripts, runScript } from './question.ts';
import type { RedisTagNode } from './redis-tag-node.ts';
import { inPieces, type Removals } from './removals.ts';
import { DROP, INSTALL, SCRIPTS } from './scripts.ts';
import { TAG_SCRIPTS } from './tag-scripts.ts';

const ALL_SCRIPTS = [
  ...SCRIPTS,
  ...LOCK_SCRIPTS,
  ...GUARD_SCRIPTS,
  ...LIFE_SCRIPTS,
  ...TAG_SCRIPTS,
];
/** Another process may raise the epoch between greeting and installation. */
const MAX_ROUNDS = 3;
/** Longer than a change takes from its announcement until it is in force. */
const ANNOUNCED_MS = 2_000;
/** The decision may ask other nodes, each within its budget. */
const DECISION_MS = 5_000;

export interface AdmissionHost {
  readonly id: string;
  readonly clock: Clock;
  readonly keys: NodeKeys;
  readonly admit: Admit;
  readonly connection: Connection;
  readonly nodeClock: NodeClock;
  /** Deletes that were not confirmed. */
  readonly removals: Removals;
  /** Leases and locks that may have been granted when their asker had gone. */
  readonly orphans: Removals;
  readonly tags: RedisTagNode;
  /** Counts the connections that came to stand. */
  generation(): number;
  /** It has passed: called with nothing awaited since. */
  admitted(greeting: Greeting): void;
  tell(error: Error): void;
}

interface Run {
  readonly generation: number;
  readonly result: Promise<boolean>;
}

export class AdmissionProcedure {
  readonly #host: AdmissionHost;
  #run: Run | undefined;

  constructor(host: AdmissionHost) {
    this.#host = host;
  }

  /**
   * Whether the node has passed; joins a run under way on the same connection.
   * Never rejects.
   *
   * @param budgetMs For each step.
   */
  async run(budgetMs: number): Promise<boolean> {
    const generation = this.#host.generation();
    const earlier = this.#run;
    if (earlier !== undefined) {
      const passed = await earlier.result;
      // One that failed with the connection before says nothing about this one.
      if (passed || earlier.generation === generation) return passed;
      return this.run(budgetMs);
    }
    const result = this.#guarded(budgetMs).finally(() => {
      this.#run = undefined;
    });
    this.#run = { generation, result };
    return result;
  }

  /** Resolves when none is under way. */
  async settled(): Promise<void> {
    await this.#run?.result;
  }

  async #guarded(budgetMs: number): Promise<boolean> {
    try {
      return await this.#rounds(budgetMs);
    } catch (error) {
      if (!(error instanceof NodeUnavailableError)) {
        this.#host.tell(error instanceof Error ? error : new Error(String(error)));
      }
      return false;
    }
  }

  async #rounds(budgetMs: number): Promise<boolean> {
    const host = this.#host;
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const generation = host.generation();
      host.nodeClock.forget();
      const greeting = await this.ask(budgetMs, (client) => greetingOf(client, host.keys, host));
      const decision = await within(Promise.resolve(host.admit(host.id, greeting)), DECISION_MS, {
        clock: host.clock,
        late: () => this.#late('the decision about its admission', DECISION_MS),
      });
      if (decision.kind === 'reject') {
        host.tell(decision.reason);
        return false;
      }
      // Another server may have answered the connection meanwhile: greet it.
      if (host.generation() !== generation) continue;
      const installed = await this.ask(budgetMs, async (client) => {
        const { fence, document, run, sequence } = host.keys;
        const operands = [
          fence,
          document,
          run,
          sequence,
          decision.fence,
          decision.document,
          greeting.runId,
          '1',
          Math.ceil(host.nodeClock.now() + budgetMs),
        ];
        const [answer] = await Promise.all([
          runScript(client, INSTALL, operands),
          loadScripts(client, ALL_SCRIPTS),
        ]);
        return answer;
      });
      if (installed !== 1) continue;
      decision.accepted?.();
      await host.removals.replay((keys) =>
        this.ask(budgetMs, (client) => removeKeys(client, host.keys, keys)),
      );
      await host.tags.replay(decision.missed?.invalidations ?? [], (send) =>
        this.ask(budgetMs, send),
      );
      for (const keys of inPieces(decision.missed?.keys ?? [])) {
        await this.ask(budgetMs, (client) => removeKeys(client, host.keys, keys));
      }
      await host.orphans.replay((orphans) =>
        this.ask(budgetMs, (client) => dropOrphans(client, host.keys, orphans)),
      );
      if (host.generation() !== generation || !host.connection.ready) continue;
      host.admitted(greeting);
      decision.missed?.removed();
      return true;
    }
    return false;
  }

  /** Something that needs no admission, over the connection as it stands. Rejects with `NodeUnavailableError` alone. */
  async ask<T>(
    budgetMs: number,
    send: (client: Client) => Promise<T>,
    what = 'its admission',
  ): Promise<T> {
    const { clock, connection } = this.#host;
    try {
      return await within(connection.send(send), budgetMs, {
        clock,
        late: () => this.#late(what, budgetMs),
      });
    } catch (error) {
      if (error instanceof NodeUnavailableError) throw error;
      const verdict = judge(error);
      const told = connection.failures.from(error, verdict.reason);
      if (verdict.tell) this.#host.tell(told);
      throw told;
    }
  }

  #late(what: string, ms: number): NodeUnavailableError {
    return this.#host.connection.failures.plain('timeout', `${what} took longer than ${ms} ms`);
  }
}

/** Run id, fence and document; samples the node's clock on the way. */
export async function greetingOf(
  client: Client,
  keys: NodeKeys,
  { nodeClock, clock }: { nodeClock: NodeClock; clock: Clock },
): Promise<Greeting> {
  const sentAt = clock.now();
  const asked = [keys.fence, keys.document, keys.run, keys.announced];
  const [info, [fence, document, servedRun, announced]] = await Promise.all([
    client.info('server'),
    client.mget(asked) as Promise<(string | null | undefined)[]>,
    client.time().then((time) => nodeClock.sample(sentAt, time)),
  ]);
  return {
    askedAt: sentAt,
    runId: /^run_id:(\w+)/m.exec(info)?.[1] ?? '',
    servedRun: servedRun ?? undefined,
    fence: fence ?? undefined,
    document: document ?? undefined,
    announced: announced ?? undefined,
  };
}

/** Has all who listen ask for a document that is about to be decided. */
export function announceAt(client: Client, keys: NodeKeys, document: string): Promise<unknown> {
  return client.set(keys.announced, document, 'PX', ANNOUNCED_MS);
}

/** Values and leases, whatever the epoch: a delete is right under each. */
export function removeKeys(client: Client, keys: NodeKeys, which: string[]): Promise<unknown> {
  return client.del(which.flatMap((key) => [keys.value(key), keys.lease(key)]));
}

/** A lease or lock that may be held by nobody, as one text: a token has no spaces. */
export function orphanOf(kind: 'lease' | 'lock', token: string, key: string): string {
  return `${kind} ${token} ${key}`;
}

/** Ends those that their tokens hold still. */
export function dropOrphans(client: Client, keys: NodeKeys, orphans: string[]): Promise<unknown> {
  const drops = orphans.map((orphan) => {
    const [kind = '', token = ''] = orphan.split(' ', 2);
    const key = orphan.slice(kind.length + token.length + 2);
    if (kind === 'lease') return runScript(client, DROP, [keys.lease(key), token, keys.loads]);
    return runScript(client, RELEASE, releaseOperands(keys, key, { token, waiter: '', keepMs: 0 }));
  });
  return Promise.all(drops);
}
