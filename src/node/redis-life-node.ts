/** The life of entries on one Redis server. */
import type { Deadlines } from './deadlines.ts';
import { KEPT } from './entry.ts';
import type { ExpireAnswer, LifeNode, TouchAnswer, TouchAsk } from './life-node.ts';
import { EXPIRE, TOUCH } from './life-scripts.ts';
import type { NodeClock } from './node-clock.ts';
import type { NodeKeys } from './node-keys.ts';
import type { Outbox } from './outbox.ts';
import { runScript } from './question.ts';
import { fenced } from './replies.ts';
import { REPLY } from './scripts.ts';

export interface LifeNodeParts {
  readonly keys: NodeKeys;
  readonly outbox: Outbox;
  readonly nodeClock: NodeClock;
  readonly deadlines: Deadlines;
}

export class RedisLifeNode implements LifeNode {
  readonly #parts: LifeNodeParts;

  constructor(parts: LifeNodeParts) {
    this.#parts = parts;
  }

  expire(key: string, fence: string): Promise<ExpireAnswer> {
    const { keys, outbox } = this.#parts;
    const operands = [keys.fence, keys.value(key), keys.lease(key), fence, keys.loads];
    return outbox.script(
      { script: EXPIRE, operands },
      (reply) => fenced(reply) ?? { kind: 'expired' },
    );
  }

  async touch(key: string, { life, since, fence }: TouchAsk): Promise<TouchAnswer> {
    const { keys, outbox, nodeClock, deadlines } = this.#parts;
    const { ttlMs, staleMs } = life;
    const answer = await outbox.ask(
      (client) => {
        const freshUntil = Math.round(nodeClock.now() + ttlMs);
        const keepMs = Math.max(1, Math.ceil(ttlMs + staleMs));
        const rest = [fence, since, freshUntil, keepMs, deadlines.next(), staleMs > 0 ? KEPT : 0];
        return runScript(client, TOUCH, [keys.fence, keys.value(key), ...rest]);
      },
      (reply) => (reply === REPLY.late ? undefined : touchAnswer(reply)),
    );
    return answer ?? deadlines.missed();
  }
}

function touchAnswer(reply: unknown): TouchAnswer {
  return fenced(reply) ?? { kind: reply === 1 ? 'touched' : 'absent' };
}
