/** Tags and clears at one Redis server: `{ns}:g`, and beside it what was deleted, in two sorted sets. */
import type { Clock } from '../clock.ts';
import type { NodeUnavailableError } from '../errors.ts';
import type { BacklogHost } from './backlog.ts';
import type { Client } from './connection.ts';
import { KnownTags, type News, type TagHost } from './known-tags.ts';
import type { Budget } from './node.ts';
import type { NodeKeys } from './node-keys.ts';
import type { Outbox } from './outbox.ts';
import { runScript } from './question.ts';
import { inPieces, Removals } from './removals.ts';
import { fenced, type Unjudged } from './replies.ts';
import { type Sequence, SequenceMemo } from './sequence.ts';
import {
  type Holding,
  type Invalidation,
  invalidationOf,
  type RaiseAnswer,
  type TagNode,
  textOf,
} from './tag-node.ts';
import { NEWS, NEWS_AT_ONCE, RAISE, RAISE_ANYWAY } from './tag-scripts.ts';
import type { Begun } from './tag-table.ts';

export interface TagNodeParts {
  /** Made after this. */
  readonly outbox: () => Outbox;
  /** What holds entries of this node in memory. @default nothing */
  readonly host?: TagHost | undefined;
  readonly backlog: BacklogHost;
  /** The whole budget of one read. */
  readonly timeoutMs: number;
  readonly late: () => NodeUnavailableError;
}

const NOTHING_HELD: TagHost = {
  recordsInUse: () => new Set(),
  cleared: () => undefined,
  uncertain: () => undefined,
};

export class RedisTagNode implements TagNode {
  readonly known: KnownTags;
  /** What could not be confirmed. */
  readonly pending: Removals;
  readonly #parts: TagNodeParts;
  readonly #keys: NodeKeys;
  readonly #clock: Clock;
  readonly #memo = new SequenceMemo();

  constructor(parts: TagNodeParts) {
    const { host = NOTHING_HELD, late } = parts;
    const { id, clock, usable, listener, tell } = parts.backlog;
    this.#parts = parts;
    this.#keys = parts.backlog.keys;
    this.#clock = clock;
    const fetch = (since: Sequence) => this.#fetch(since);
    this.known = new KnownTags({ node: id, clock, host, fetch, late });
    this.pending = new Removals({
      clock,
      usable,
      remove: (texts) => this.raiseAnyway(texts.map(invalidationOf)),
      confirmed: (text) => {
        this.known.expect([invalidationOf(text)], { isLate: false });
        listener.raised(id, invalidationOf(text));
      },
      // By then the last entry of before has expired, or nobody can say any more.
      gaveUp: (text) => this.known.expect([invalidationOf(text)], { isLate: false }),
      overflowed: (limit) => {
        const what = `more than ${limit} deleted tags wait for node ${id}; the oldest were given up`;
        tell(new Error(what));
      },
    });
  }

  get sequence(): number {
    return this.known.sequence;
  }

  /** What came with an answer, and stands for what has been deleted here before. */
  seen(bytes: Buffer | null | undefined): Sequence {
    return this.known.seen(this.#memo.read(bytes));
  }

  /** An answer whose entry has been judged: one that was overtaken counts as absent. */
  async judged<T extends object>(
    key: string,
    found: T | Unjudged<T>,
    budget: Budget | undefined,
  ): Promise<T> {
    if (!('stored' in found && 'at' in found)) return found;
    const { answer, stored, at } = found;
    if (this.known.judge(key, stored, at)) return answer;
    const startedAt = this.#clock.now();
    try {
      await this.known.reach(at, budget?.leftMs ?? this.#parts.timeoutMs);
    } finally {
      if (budget !== undefined) budget.leftMs -= this.#clock.now() - startedAt;
    }
    this.known.judgeNow(key, stored);
    return answer;
  }

  holding(key: string, entry: Begun): Holding | undefined {
    return this.known.holding(key, entry);
  }

  refresh(): void {
    this.known.refresh();
  }

  expect(all: readonly Invalidation[]): void {
    this.known.expect(all, { underWay: 1 });
  }

  settle(all: readonly Invalidation[]): void {
    this.known.expect(all, { underWay: -1 });
  }

  async raise(all: readonly Invalidation[], fence: string): Promise<RaiseAnswer> {
    const { outbox } = this.#parts;
    for (const some of inPieces(all)) {
      const operands = [this.#keys.fence, this.#keys.sequence, fence, ...some.map(textOf)];
      const answer = await outbox().script({ script: RAISE, operands }, (reply) => {
        const refused = fenced(reply);
        if (refused === undefined) this.known.tell(some, Number(reply));
        return refused;
      });
      if (answer !== undefined) return answer;
    }
    return { kind: 'raised' };
  }

  async raiseAnyway(all: readonly Invalidation[]): Promise<void> {
    for (const some of inPieces(all)) {
      const send = (client: Client): Promise<unknown> => this.#raiseAnyway(client, some);
      const seq = await this.#parts.outbox().ask(send, Number);
      this.known.tell(some, seq);
    }
  }

  /** The same, of a node that is being admitted, with all that is still to be confirmed; then what others have deleted there. */
  async replay(
    all: readonly Invalidation[],
    ask: (send: (client: Client) => Promise<unknown>) => Promise<unknown>,
  ): Promise<void> {
    const raise = async (some: readonly Invalidation[]): Promise<void> => {
      const seq = await ask((client) => this.#raiseAnyway(client, some));
      this.known.tell(some, Number(seq));
    };
    await this.pending.replay((texts) => raise(texts.map(invalidationOf)));
    for (const some of inPieces(all)) await raise(some);
    await this.known.learn(async (since) => {
      return newsOf(await ask((client) => this.#askNews(client, since)), this.#memo);
    });
  }

  #raiseAnyway(client: Client, all: readonly Invalidation[]): Promise<unknown> {
    return runScript(client, RAISE_ANYWAY, [this.#keys.sequence, ...all.map(textOf)]);
  }

  raiseLater(all: readonly Invalidation[], untilMs: number): void {
    this.known.expect(all, { underWay: -1, isLate: true });
    for (const one of all) this.pending.add(textOf(one), untilMs);
  }

  #askNews(client: Client, { tags, clears }: Sequence): Promise<unknown> {
    return runScript(client, NEWS, [this.#keys.sequence, tags, clears]);
  }

  #fetch({ tags, clears }: Sequence): Promise<News> {
    const { outbox } = this.#parts;
    return outbox().script(
      { script: NEWS, operands: [this.#keys.sequence, tags, clears] },
      (reply) => newsOf(reply, this.#memo),
    );
  }
}

/** @throws TypeError for what the script does not answer. */
function newsOf(reply: unknown, memo: SequenceMemo): News {
  const [both, tags, prefixes] = reply as [Buffer, Buffer[], Buffer[]];
  const sequence = memo.read(both);
  if (sequence === undefined) throw new TypeError('a script was answered with something else');
  const told = [...namesOf('tag', tags), ...namesOf('prefix', prefixes)];
  const more = Math.max(tags.length, prefixes.length) >= 2 * NEWS_AT_ONCE;
  return { sequence: more ? undefined : sequence, told };
}

function namesOf(kind: Invalidation['kind'], pairs: readonly Buffer[]): News['told'] {
  return Array.from({ length: pairs.length / 2 }, (_, i) => {
    return { kind, name: String(pairs[2 * i]), seq: Number(String(pairs[2 * i + 1])) };
  });
}
