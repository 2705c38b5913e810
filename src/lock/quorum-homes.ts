/**
 * Locks on a majority of independent nodes: the Redlock algorithm (redis.io/docs,
 * "Distributed Locks with Redis"), with a number that grows.
 *
 * A lock is held while a majority of all listed nodes has its token; validity
 * counts from before the first request. Two majorities share a node, and that
 * one has a single token: so one holder, though any minority fails.
 *
 * Where it differs. The first node, another for each name, is asked alone: who
 * is turned away there does not split the votes of the others, and waits in its
 * queue, so that a release wakes the next as on the ring. The numbers of one
 * round differ from node to node; the largest is written back to a majority
 * before the lock is given out: the next majority shares a node with this one,
 * so its largest is larger (10, 5, 5 and then 5, 5, 5 would give 10 and 6).
 */
import { NodeUnavailableError, type Vote } from '../errors.ts';
import type { LockInspection } from '../node/lock-node.ts';
import type { CacheNode } from '../node/node.ts';
import type { Attempt, AttemptAsk, Grip, LockHomes, Refusal } from './homes.ts';
import { giveBack, type HomesParts } from './ring-homes.ts';
import { type LockStep, type StepAnswer, settled, unavailable } from './steps.ts';
import { momentOf } from './validity.ts';

/** What is not asked of a node again in one attempt. */
const MAX_ROUNDS = 3;

export class QuorumHomes implements LockHomes {
  readonly #parts: HomesParts;
  /** Fixed: a majority of another list may share no node with one of this. */
  readonly #ids: readonly string[];

  constructor(parts: HomesParts, ids: readonly string[]) {
    this.#parts = parts;
    this.#ids = [...ids].sort();
  }

  async attempt(ask: AttemptAsk): Promise<Attempt> {
    const grip = new QuorumGrip(this.#parts, {
      ...ask,
      nodes: this.#nodesOf(ask.name),
      majority: majorityOf(this.#ids.length),
    });
    const since = momentOf(this.#parts.clock);
    const taken = await grip.take();
    if (taken.kind === 'granted') return { ...taken, grip, since };
    return { ...taken, spent: grip.letGo() };
  }

  abandon(name: string, ask: { readonly token: string; readonly ttlMs: number }): void {
    const { waiter } = this.#parts;
    for (const node of this.#nodesOf(name)) giveBack(node, name, { ...ask, waiter });
  }

  async listen(name: string): Promise<boolean> {
    const { waiter, wake } = this.#parts;
    const [first] = this.#nodesOf(name);
    if (first === undefined || first.locks.listening) return false;
    return first.locks.listen(waiter, wake(first));
  }

  nodeOf(name: string): string {
    return this.#nodesOf(name)[0]?.id ?? this.#ids[0]!;
  }

  async look(name: string): Promise<LockInspection & { readonly node: string }> {
    const nodes = this.#nodesOf(name);
    const looks = await Promise.allSettled(nodes.map((node) => node.locks.look(name)));
    const seen = looks.flatMap((look) => (look.status === 'fulfilled' ? [look.value] : []));
    const least = majorityOf(this.#ids.length);
    if (seen.length < least) {
      throw new NodeUnavailableError(nodes[0]!.id, 'connection', 'no majority answers');
    }
    // What a majority has at least: the least of the longest times.
    const times = seen.map(({ remainingMs }) => remainingMs).sort((a, b) => b - a);
    const numbers = seen.map(({ number }) => number).sort((a, b) => b - a);
    return {
      held: times[least - 1]! > 0,
      remainingMs: times[least - 1]!,
      // The same: a node that granted when it was decided already may have a larger one.
      number: numbers[least - 1]!,
      waiters: Math.max(...seen.map(({ waiters }) => waiters)),
      node: nodes.map(({ id }) => id).join(','),
    };
  }

  #nodesOf(name: string): CacheNode[] {
    const { snapshot } = this.#parts.topology;
    const first = snapshot.ring.hash(name) % this.#ids.length;
    const ids = [...this.#ids.slice(first), ...this.#ids.slice(0, first)];
    return ids.flatMap((id) => snapshot.nodes.get(id) ?? []);
  }
}

function majorityOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

interface QuorumAsk extends AttemptAsk {
  /** All, in the order of this name. */
  readonly nodes: readonly CacheNode[];
  readonly majority: number;
}

type Taken = { readonly kind: 'granted'; readonly number: number } | Refusal;

class QuorumGrip implements Grip {
  readonly #parts: HomesParts;
  readonly #ask: QuorumAsk;
  /** Those that the lock was asked of. */
  readonly #asked = new Set<CacheNode>();
  /** The number that each node granted. */
  readonly #numbers = new Map<CacheNode, number>();
  readonly #steps = new Map<CacheNode, LockStep>();
  #over = false;

  constructor(parts: HomesParts, ask: QuorumAsk) {
    this.#parts = parts;
    this.#ask = ask;
  }

  async take(): Promise<Taken> {
    const [first, ...others] = this.#ask.nodes;
    if (first === undefined) return this.#refusal();
    const step = await this.#takeAt(first);
    if (step.kind === 'busy' || step.kind === 'conflict') return step;
    await this.#until(others.map((node) => this.#takeAt(node)));
    if (this.#numbers.size < this.#ask.majority) return this.#refusal();
    const number = Math.max(...this.#numbers.values());
    if (await this.#writeBack(number)) return { kind: 'granted', number };
    return this.#refusal();
  }

  async prolong(ttlMs: number): Promise<'prolonged' | 'lost'> {
    const { nodes, name, token } = this.#ask;
    let prolonged = 0;
    let lost = 0;
    let failure: NodeUnavailableError | undefined;
    const asked = nodes.map(async (node) => {
      const step = await this.#settled(node, async (fence) => {
        const answer = await node.locks.prolong(name, { token, ttlMs, fence });
        if (answer.kind === 'prolonged') return { kind: 'done' };
        return answer.kind === 'lost' ? { kind: 'busy', remainingMs: 0 } : answer;
      });
      if (step.kind === 'done') prolonged += 1;
      else if (step.kind === 'unavailable') failure ??= step.cause;
      else lost += 1;
      return step.kind === 'busy' ? node : undefined;
    });
    await this.#until(asked, () => {
      return prolonged >= this.#ask.majority || lost > nodes.length - this.#ask.majority;
    });
    if (prolonged >= this.#ask.majority) {
      // Nodes that were away, or lost it, take part again: a majority has it for certain.
      for (const missing of asked) {
        void missing.then((node) => node && this.#takeAt(node));
      }
      return 'prolonged';
    }
    if (lost > nodes.length - this.#ask.majority) return 'lost';
    throw failure ?? new NodeUnavailableError(nodes[0]!.id, 'fenced', 'no majority answers');
  }

  async release(keepMs: number): Promise<boolean> {
    this.#over = true;
    const { nodes, name, token, ttlMs } = this.#ask;
    let ours = 0;
    const asked = nodes.map(async (node) => {
      try {
        if (await node.locks.release(name, { token, waiter: '', keepMs })) ours += 1;
      } catch {
        node.locks.releaseLater(name, token, ttlMs);
      }
    });
    await this.#until(asked, () => ours >= this.#ask.majority);
    return ours >= this.#ask.majority;
  }

  /**
   * Gives it back everywhere, also where nothing is known to have been granted;
   * returns whether there was anywhere.
   */
  letGo(): boolean {
    this.#over = true;
    const { nodes, name, token, ttlMs } = this.#ask;
    // A node that answered that another has it keeps our place in its queue.
    const taken = nodes.filter((node) => {
      return this.#asked.has(node) && this.#steps.get(node)?.kind !== 'busy';
    });
    // The token is not used again, so its place in a queue is of no use.
    const { waiter } = this.#parts;
    for (const node of taken) giveBack(node, name, { token, ttlMs, waiter });
    return taken.length > 0;
  }

  /** Waits for all, or until it is decided. */
  #until(
    asked: readonly Promise<unknown>[],
    decided = (): boolean => {
      const failed = [...this.#steps.values()].filter(({ kind }) => kind !== 'done').length;
      const { length } = this.#ask.nodes;
      return this.#numbers.size >= this.#ask.majority || failed > length - this.#ask.majority;
    },
  ): Promise<void> {
    return new Promise((resolve) => {
      for (const one of asked) {
        void one.then(() => {
          if (decided()) resolve();
        });
      }
      void Promise.all(asked).then(() => resolve());
    });
  }

  async #takeAt(node: CacheNode): Promise<LockStep> {
    const { gates, waiter } = this.#parts;
    const { name, token, ttlMs, queue, placed, nodes } = this.#ask;
    this.#asked.add(node);
    const step = await this.#settled(node, async (fence) => {
      const queued = node === nodes[0] && (placed || (queue && node.locks.listening));
      const answer = await node.locks.acquire(name, {
        token,
        ttlMs,
        fence,
        profile: gates.profile,
        waiter: queued ? waiter : '',
        floor: 0,
      });
      if (answer.kind !== 'granted') return answer;
      this.#numbers.set(node, answer.number);
      return { kind: 'done' };
    });
    this.#steps.set(node, step);
    // It was given back while this was on its way.
    if (this.#over && step.kind === 'done') giveBack(node, name, { token, ttlMs, waiter: '' });
    return step;
  }

  async #settled(node: CacheNode, ask: (fence: string) => Promise<StepAnswer>): Promise<LockStep> {
    const { topology, gates } = this.#parts;
    let step: LockStep = { kind: 'again' };
    try {
      for (let round = 0; round < MAX_ROUNDS && step.kind === 'again'; round++) {
        const { snapshot } = topology;
        step = await settled(await ask(snapshot.fence), { node, snapshot, topology, gates });
      }
      return step;
    } catch (error) {
      return unavailable(node, error);
    }
  }

  /** Has a majority know the number. */
  async #writeBack(number: number): Promise<boolean> {
    const { name, token } = this.#ask;
    let knowing = 0;
    const asked = [...this.#numbers].map(async ([node, own]) => {
      const raised = own === number || (await this.#raise(node, { name, token, number }));
      if (raised) knowing += 1;
    });
    await this.#until(asked, () => knowing >= this.#ask.majority);
    return knowing >= this.#ask.majority;
  }

  async #raise(
    node: CacheNode,
    to: { readonly name: string; readonly token: string; readonly number: number },
  ): Promise<boolean> {
    try {
      return await node.locks.raise(to.name, to);
    } catch (error) {
      if (error instanceof NodeUnavailableError) return false;
      throw error;
    }
  }

  #refusal(): Refusal {
    const steps = this.#ask.nodes.map((node) => ({ node: node.id, step: this.#steps.get(node) }));
    const conflict = steps.find(({ step }) => step?.kind === 'conflict')?.step;
    if (conflict?.kind === 'conflict') return conflict;
    const busy = steps.flatMap(({ step }) => (step?.kind === 'busy' ? [step.remainingMs] : []));
    // What has not answered yet when it was decided may still be there.
    const there = steps.filter(({ step }) => step === undefined || step.kind in VOTES).length;
    if (there >= this.#ask.majority) return { kind: 'busy', remainingMs: Math.max(0, ...busy) };
    const votes = steps.map(({ node, step }): Vote => {
      if (step === undefined) return { node, vote: 'unanswered' };
      const vote = VOTES[step.kind] ?? 'unavailable';
      if (step.kind !== 'unavailable') return { node, vote };
      return { node, vote, error: step.cause ?? new Error(step.why) };
    });
    return { kind: 'no-quorum', votes };
  }
}

const VOTES: Readonly<Record<string, Vote['vote']>> = { done: 'granted', busy: 'busy' };
