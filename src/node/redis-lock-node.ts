/** The scripts of lock-scripts.ts, asked through the node's one outbox, so with its budget, breaker and limit. */
import { orphanOf } from './admission.ts';
import type {
  AcquireAnswer,
  AcquireAsk,
  GateAnswer,
  KnockAsk,
  LockInspection,
  LockNode,
  ProlongAnswer,
  Wake,
} from './lock-node.ts';
import {
  ACQUIRE,
  acquireOperands,
  KNOCK,
  LOOK,
  PROLONG,
  RAISE,
  RELEASE,
  releaseOperands,
} from './lock-scripts.ts';
import type { NodeKeys } from './node-keys.ts';
import type { Outbox } from './outbox.ts';
import type { PushChannel } from './push.ts';
import type { Removals } from './removals.ts';
import { fenced } from './replies.ts';
import { REPLY } from './scripts.ts';

export interface LockNodeParts {
  readonly keys: NodeKeys;
  readonly outbox: Outbox;
  readonly push: PushChannel;
  /** Leases and locks that may be held by nobody. */
  readonly orphans: Removals;
  /** Of the server as it was last admitted. */
  runId(): string;
  forgetful(): boolean;
}

const PROLONGED: ProlongAnswer = { kind: 'prolonged' };
const LOST: ProlongAnswer = { kind: 'lost' };
const SHUT: AcquireAnswer = { kind: 'shut' };
/** A server that does not say which run it is in. */
const NO_RUN = '-';

export class RedisLockNode implements LockNode {
  readonly #parts: LockNodeParts;
  #waiter = '';

  constructor(parts: LockNodeParts) {
    this.#parts = parts;
  }

  acquire(name: string, ask: AcquireAsk): Promise<AcquireAnswer> {
    const { keys, outbox } = this.#parts;
    const gate = `open ${this.#run} ${ask.profile}`;
    const operands = acquireOperands(keys, name, { ask, gate });
    return outbox.script({ script: ACQUIRE, operands }, acquireAnswer);
  }

  prolong(...[name, ask]: Parameters<LockNode['prolong']>): Promise<ProlongAnswer> {
    const { keys, outbox } = this.#parts;
    const operands = [keys.fence, keys.lock(name), ask.fence, ask.token, Math.ceil(ask.ttlMs)];
    return outbox.script({ script: PROLONG, operands }, prolongAnswer);
  }

  release(...[name, ask]: Parameters<LockNode['release']>): Promise<boolean> {
    const { keys, outbox } = this.#parts;
    const operands = releaseOperands(keys, name, ask);
    return outbox.script({ script: RELEASE, operands }, isOne);
  }

  releaseLater(name: string, token: string, forMs: number): void {
    this.#parts.orphans.add(orphanOf('lock', token, name), forMs);
  }

  raise(...[name, ask]: Parameters<LockNode['raise']>): Promise<boolean> {
    const { keys, outbox } = this.#parts;
    const operands = [keys.lock(name), keys.counter(name), ask.token, String(ask.number)];
    return outbox.script({ script: RAISE, operands }, isOne);
  }

  look(name: string): Promise<LockInspection> {
    const { keys, outbox } = this.#parts;
    const operands = [keys.lock(name), keys.counter(name), keys.queue(name)];
    return outbox.script({ script: LOOK, operands }, (reply) => {
      const [token, leftMs, number, waiters] = reply as [Buffer | null, number, unknown, number];
      const held = token !== null;
      return {
        held,
        remainingMs: held ? Math.max(1, leftMs) : 0,
        number: Number(number ?? 0),
        waiters,
      };
    });
  }

  knock({ profile, longestMs, claim }: KnockAsk): Promise<GateAnswer> {
    const { keys, outbox } = this.#parts;
    const operands = [keys.gate, this.#run, profile, Math.ceil(longestMs), claim];
    return outbox.script({ script: KNOCK, operands }, gateAnswer);
  }

  get forgetful(): boolean {
    return this.#parts.forgetful();
  }

  get listening(): boolean {
    return this.#waiter !== '' && this.#parts.push.stands(this.#channel(this.#waiter));
  }

  listen(waiter: string, wake: Wake): Promise<boolean> {
    this.#waiter = waiter;
    return this.#parts.push.listen(this.#channel(waiter), (text) => {
      const space = text.indexOf(' ');
      wake(text.slice(0, space), text.slice(space + 1));
    });
  }

  evictionPolicy(): Promise<string | undefined> {
    return this.#parts.outbox.ask(
      (client) => client.info('memory'),
      (reply) => {
        const info = String(reply);
        const limit = /^maxmemory:(\d+)/m.exec(info)?.[1] ?? '0';
        const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction';
        return limit === '0' || policy === 'noeviction' ? undefined : policy;
      },
    );
  }

  #channel(waiter: string): string {
    return this.#parts.keys.channel + waiter;
  }

  get #run(): string {
    return this.#parts.runId() || NO_RUN;
  }
}

function isOne(reply: unknown): boolean {
  return reply === 1;
}

function acquireAnswer(reply: unknown): AcquireAnswer {
  if (!Array.isArray(reply)) {
    return reply === REPLY.shut ? SHUT : (fenced(reply) ?? unheardOf());
  }
  const [granted, number] = reply as [number, number];
  if (granted === 1) return { kind: 'granted', number };
  return { kind: 'busy', remainingMs: number };
}

function prolongAnswer(reply: unknown): ProlongAnswer {
  return fenced(reply) ?? (reply === 1 ? PROLONGED : LOST);
}

function gateAnswer(reply: unknown): GateAnswer {
  const [state, more] = (Array.isArray(reply) ? reply : []) as [unknown, unknown];
  const kind = String(state);
  if (kind === 'open' || kind === 'new' || kind === 'missing') return { kind };
  if (kind === 'quarantined') return { kind, remainingMs: Number(more) };
  if (kind === 'conflict') return { kind, profile: String(more) };
  return unheardOf();
}

function unheardOf(): never {
  throw new TypeError('a script was answered with something else');
}
