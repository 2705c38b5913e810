/**
 * Whether nodes may grant locks. A node that was restarted or emptied has
 * forgotten what it granted, so it grants nothing until the longest ttl has
 * passed. The node itself notices a restart (its run id is another). That it
 * was emptied, it cannot know; those who ask it do: this process has seen it
 * open or found it restarted or emptied before, or it has seen another node of
 * the ring open, or one is now.
 *
 * Only when nobody knows of any grant is a node new. At the first start of a
 * fleet several processes find that out at once, so it takes two steps: all
 * nodes are claimed as new, and only then the first one is opened.
 *
 *     P: A is missing, B is missing · claims A and B · opens A …
 *     Q:                                         … A is open; B is new, so not emptied.
 *
 * Not protected: most nodes lose their data while the others are away, or every
 * node at once, and a process that has just started comes before all that know.
 */
import { NodeUnavailableError } from '../errors.ts';
import type { Claim, GateAnswer } from '../node/lock-node.ts';
import type { CacheNode } from '../node/node.ts';

/** What all who use the same locks must agree on. */
export interface GateRules {
  /** Whether one node grants a lock, or a majority. */
  readonly kind: 'ring' | 'quorum';
  /** The longest ttl. */
  readonly longestMs: number;
}

/** Must not throw. */
export interface GateListener {
  /** A node was found open for the first time. */
  opened(node: CacheNode): void;
  /** A node has lost what it granted, and grants nothing for so long. */
  quarantined(node: CacheNode, remainingMs: number): void;
}

export class Gates {
  readonly profile: string;
  readonly longestMs: number;
  readonly #nodes: () => Iterable<CacheNode>;
  readonly #listener: GateListener;
  readonly #seenOpen = new Set<string>();
  readonly #asking = new Map<string, Promise<GateAnswer>>();

  /** @param nodes All nodes that locks are on now. */
  constructor(rules: GateRules, nodes: () => Iterable<CacheNode>, listener: GateListener) {
    this.profile = `${rules.kind}-${rules.longestMs}`;
    this.longestMs = rules.longestMs;
    this.#nodes = nodes;
    this.#listener = listener;
  }

  /** It has granted, or answered that a lock is busy. */
  sawOpen(node: CacheNode): void {
    if (this.#seenOpen.has(node.id)) return;
    this.#seenOpen.add(node.id);
    this.#listener.opened(node);
  }

  /** Opens a node that is shut, if it may be. @throws NodeUnavailableError */
  open(node: CacheNode): Promise<GateAnswer> {
    const asking = this.#asking.get(node.id);
    if (asking !== undefined) return asking;
    const opening = this.#open(node).finally(() => this.#asking.delete(node.id));
    this.#asking.set(node.id, opening);
    return opening;
  }

  async #open(node: CacheNode): Promise<GateAnswer> {
    const answer = await this.#decide(node);
    if (answer.kind === 'quarantined') this.#listener.quarantined(node, answer.remainingMs);
    return answer;
  }

  /**
   * Opens a node that joins the ring: it was in no ring that could have
   * granted anything, so it is new, though the others are open.
   */
  async welcome(node: CacheNode): Promise<void> {
    const answers = await this.#askOthers(node);
    const used = answers.find(({ kind }) => kind !== 'missing' && kind !== 'new');
    if (used === undefined) return;
    const profile = used.kind === 'conflict' ? used.profile : this.profile;
    try {
      await node.locks.knock({ profile, longestMs: this.longestMs, claim: 'joined' });
    } catch (error) {
      // It opens later then, when the longest ttl has passed.
      if (!(error instanceof NodeUnavailableError)) throw error;
    }
  }

  async #decide(node: CacheNode): Promise<GateAnswer> {
    const known = this.#seenOpen.has(node.id) || node.locks.forgetful;
    const answer = await this.#knock(node, known ? 'wiped' : 'ask');
    if (answer.kind !== 'missing' && answer.kind !== 'new') return answer;
    const others = await this.#askOthers(node);
    const used =
      this.#seenOpen.size > 0 ||
      others.some(({ kind }) => kind !== 'missing' && kind !== 'new') ||
      // Those that are silent may know better, unless most have answered.
      2 * (1 + others.length) <= [...this.#nodes()].length;
    // Emptied; unless it was claimed as new since: then whoever opened the others is about to open it.
    if (used && answer.kind === 'missing') return this.#knock(node, 'open');
    const claimed = await Promise.all(
      [...this.#nodes()].map(async (each) => {
        const claim = await this.#tryKnock(each, 'new');
        return claim?.kind === 'new' ? each : undefined;
      }),
    );
    const opening = claimed.filter((each) => each !== undefined);
    await Promise.all(opening.map((each) => this.#tryKnock(each, 'open')));
    return this.#knock(node, 'open');
  }

  async #askOthers(node: CacheNode): Promise<GateAnswer[]> {
    const others = [...this.#nodes()].filter(({ id }) => id !== node.id);
    const answers = await Promise.all(others.map((other) => this.#tryKnock(other, 'ask')));
    return answers.filter((answer) => answer !== undefined);
  }

  async #knock(node: CacheNode, claim: Claim): Promise<GateAnswer> {
    const { profile } = this;
    const answer = await node.locks.knock({ profile, longestMs: this.longestMs, claim });
    if (answer.kind === 'open') this.sawOpen(node);
    return answer;
  }

  /** Undefined when it does not answer. */
  async #tryKnock(node: CacheNode, claim: Claim): Promise<GateAnswer | undefined> {
    try {
      return await this.#knock(node, claim);
    } catch (error) {
      if (error instanceof NodeUnavailableError) return undefined;
      throw error;
    }
  }
}
