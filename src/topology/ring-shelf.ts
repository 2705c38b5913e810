/**
 * The rings that documents name, each built once. All requests of a process
 * wait while it takes up a document, whose history names up to sixteen rings;
 * building one blocks for about a third of a microsecond a point: 15 ms for
 * fifty nodes.
 */
import type { HashRing } from '../ring/ring.ts';
import { type Era, HISTORY_LENGTH } from './document.ts';

/** More than a document names: those that are kept may be of two. */
const MOST_RINGS = 2 * HISTORY_LENGTH;

export class RingShelf {
  readonly #kind: HashRing;
  /** By their members; the one that was asked for last stands last. */
  readonly #rings = new Map<string, HashRing>();

  /** @param ring All others have its points and placement. */
  constructor(ring: HashRing) {
    this.#kind = ring;
    const members = ring.ids.map((id, i) => ({ id, weight: ring.weights[i] ?? 1 }));
    this.#rings.set(labelOf(members), ring);
  }

  /** @throws InvalidOptionError for members that form no ring. */
  ringOf(members: Era['members']): HashRing {
    const label = labelOf(members);
    const ring = this.#rings.get(label) ?? this.#kind.ofSameKind(members);
    this.#rings.delete(label);
    this.#rings.set(label, ring);
    for (const oldest of this.#rings.keys()) {
      if (this.#rings.size <= MOST_RINGS) break;
      this.#rings.delete(oldest);
    }
    return ring;
  }
}

/** Neither `=` nor `,` can stand in an id. In any order: rings of the same members are equal. */
function labelOf(members: Era['members']): string {
  const parts = members.map(({ id, weight }) => `${id}=${weight}`);
  return parts.sort().join();
}
