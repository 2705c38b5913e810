/** Tags at a simulated server, and what a simulated process knows of them: as sequence.ts and tag-scripts.ts, in one step each. */
import type { Clock } from '../../src/clock.ts';
import type { NodeUnavailableError } from '../../src/errors.ts';
import { KnownTags, type News, type TagHost } from '../../src/node/known-tags.ts';
import type { Fenced, Stored } from '../../src/node/node.ts';
import { newestOf, type Sequence } from '../../src/node/sequence.ts';
import {
  type Invalidation,
  invalidationOf,
  type RaiseAnswer,
  type TagNode,
  textOf,
} from '../../src/node/tag-node.ts';

type State = { sequence: Sequence; told: ReadonlyMap<string, number> } | undefined;

/** An entry as it was found, to be judged. */
export type Found = Omit<Stored, 'overtaken'> & { overtaken: boolean };

export class ServerTags {
  readonly #clock: Clock;
  #state: State;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** As it stands; begun if it is lost. */
  get sequence(): Sequence {
    return this.#standing().sequence;
  }

  /** For a later restart. */
  get state(): State {
    return this.#state && { ...this.#state, told: new Map(this.#state.told) };
  }

  set state(state: State) {
    this.#state = state;
  }

  begin(): void {
    const last = this.#state === undefined ? 0 : newestOf(this.#state.sequence);
    const at = Math.max(last + 1, Math.round(this.#clock.now() * 1_000));
    const told = new Map([
      ['t', at],
      ['p', at],
    ]);
    this.#state = { sequence: { tags: at, clears: at }, told };
  }

  raise(all: readonly Invalidation[]): number {
    const { sequence, told } = this.#standing();
    let { tags, clears } = sequence;
    let last = Math.max(newestOf(sequence), Math.round(this.#clock.now() * 1_000));
    const next = new Map(told);
    for (const one of all) {
      last++;
      next.set(textOf(one), last);
      if (one.kind === 'tag') tags = last;
      else clears = last;
    }
    this.#state = { sequence: { tags, clears }, told: next };
    return last;
  }

  news(since: Sequence): News {
    const { sequence, told } = this.#standing();
    const all = Array.from(told, ([text, seq]) => ({ ...invalidationOf(text), seq }));
    const isNew = ({ kind, seq }: (typeof all)[number]): boolean =>
      seq > (kind === 'tag' ? since.tags : since.clears);
    return { sequence, told: all.filter(isNew) };
  }

  #standing(): NonNullable<State> {
    if (this.#state === undefined) this.begin();
    return this.#state as NonNullable<State>;
  }
}

export interface SimulatedTagsParts {
  readonly id: string;
  readonly clock: Clock;
  readonly host?: TagHost | undefined;
  readonly server: {
    readonly tags: ServerTags;
    fencedBy(fence: string): Fenced | undefined;
  };
  readonly ask: <T>(what: string, act: () => T) => Promise<T>;
  readonly late: () => NodeUnavailableError;
}

const NOTHING_HELD: TagHost = {
  recordsInUse: () => new Set(),
  cleared: () => undefined,
  uncertain: () => undefined,
};

export class SimulatedTags implements TagNode {
  readonly known: KnownTags;
  /** Kept until the next admission. */
  readonly pending = new Map<string, Invalidation>();
  readonly #parts: SimulatedTagsParts;

  constructor(parts: SimulatedTagsParts) {
    const { id, clock, host = NOTHING_HELD, late, server, ask } = parts;
    this.#parts = parts;
    const fetch = (since: Sequence) => ask('news', () => server.tags.news(since));
    this.known = new KnownTags({ node: id, clock, host, fetch, late });
  }

  get sequence(): number {
    return this.known.sequence;
  }

  holding(...[key, entry]: Parameters<TagNode['holding']>): ReturnType<TagNode['holding']> {
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

  raise(all: readonly Invalidation[], fence: string): Promise<RaiseAnswer> {
    const { server, ask } = this.#parts;
    return ask('raise', (): RaiseAnswer | { kind: 'raised'; seq: number } => {
      return server.fencedBy(fence) ?? { kind: 'raised', seq: server.tags.raise(all) };
    }).then((answer) => {
      if ('seq' in answer) this.known.tell(all, answer.seq);
      return answer;
    });
  }

  async raiseAnyway(all: readonly Invalidation[], ask = this.#parts.ask): Promise<void> {
    this.known.tell(all, await ask('raise anyway', () => this.#parts.server.tags.raise(all)));
  }

  raiseLater(all: readonly Invalidation[]): void {
    this.known.expect(all, { underWay: -1, isLate: true });
    for (const one of all) this.pending.set(textOf(one), one);
  }

  /** At an admission. */
  async replay(missed: readonly Invalidation[], ask: SimulatedTagsParts['ask']): Promise<void> {
    const all = [...this.pending.values(), ...missed];
    if (all.length === 0) return;
    await this.raiseAnyway(all, ask);
    this.known.expect([...this.pending.values()], { isLate: false });
    this.pending.clear();
  }

  /** Judges what was found; undefined when that could be done at once. */
  judge(key: string, stored: Found | undefined, at: Sequence): Promise<void> | undefined {
    const seen = this.known.seen(at);
    if (stored === undefined || this.known.judge(key, stored, seen)) return undefined;
    return this.known.reach(seen, 100).then(() => this.known.judgeNow(key, stored));
  }
}
