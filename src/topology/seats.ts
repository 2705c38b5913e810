/**
 * The nodes that a process has connected: one for each place of a document,
 * made when it is named first, and closed some time after it is not any more.
 */
import type { Clock, Timer } from '../clock.ts';
import type { ClientOptions } from '../node/address.ts';
import type { CacheNode, Greeting, NodeHost } from '../node/node.ts';
import { CONTROL_ID, type Member, type TopologyDocument, withCredentials } from './document.ts';

/** A member as this process reaches it. */
export interface Seat {
  readonly id: string;
  /** With credentials, if any. */
  readonly url: string;
  readonly weight: number;
  /** Options of the Redis client on top of the URL. */
  readonly redis?: ClientOptions | undefined;
}

/** A node's id, and its address if that was changed: which connection is meant. */
export type Place = string;

export function placeOf({ id, readdressed }: Pick<Member, 'id' | 'readdressed'>): Place {
  // No id has a space.
  return readdressed === undefined ? id : `${id} ${readdressed}`;
}

export interface SeatsParts {
  readonly clock: Clock;
  /** Makes the node of a seat; does not connect it. */
  readonly make: (seat: Seat, host: NodeHost) => CacheNode;
  readonly trusted: () => boolean;
  readonly admit: (place: Place, id: string, greeting: Greeting) => ReturnType<NodeHost['admit']>;
}

/** Leaves a node that is no longer used time for the answers under way. */
const RETIRE_AFTER_MS = 1_000;

export class Seats {
  readonly #parts: SeatsParts;
  readonly #taken = new Map<Place, { readonly seat: Seat; readonly node: CacheNode }>();
  readonly #retired = new Map<CacheNode, Timer>();

  constructor(parts: SeatsParts) {
    this.#parts = parts;
  }

  get nodes(): CacheNode[] {
    return Array.from(this.#taken.values(), ({ node }) => node);
  }

  node(place: Place): CacheNode | undefined {
    return this.#taken.get(place)?.node;
  }

  seat(place: Place): Seat | undefined {
    return this.#taken.get(place)?.seat;
  }

  /** Not connected yet. */
  take(place: Place, seat: Seat): CacheNode {
    const { make, trusted, admit } = this.#parts;
    const node = make(seat, { trusted, admit: (id, greeting) => admit(place, id, greeting) });
    this.#taken.set(place, { seat, node });
    return node;
  }

  /** Takes the places of a document that are not taken; not connected yet. */
  takeAll(document: TopologyDocument): CacheNode[] {
    const [first] = this.#taken.values();
    const taken: CacheNode[] = [];
    for (const member of placesOf(document)) {
      const place = placeOf(member);
      if (this.#taken.has(place)) continue;
      const own = this.#taken.get(member.id)?.seat ?? first?.seat;
      const url = withCredentials(member.url, own?.url ?? '');
      const { id, weight } = member;
      taken.push(this.take(place, { id, url, weight, redis: own?.redis }));
    }
    return taken;
  }

  /** Takes a node out; the caller closes it. */
  release(place: Place): CacheNode | undefined {
    const node = this.#taken.get(place)?.node;
    this.#taken.delete(place);
    return node;
  }

  /** Retires every node that the document does not name. */
  keepOnly(document: TopologyDocument): void {
    const named = new Set(placesOf(document).map(placeOf));
    for (const [place, { node }] of this.#taken) {
      if (named.has(place)) continue;
      this.#taken.delete(place);
      this.#retire(node);
    }
  }

  async close(): Promise<void> {
    for (const timer of this.#retired.values()) timer.cancel();
    await Promise.all([...this.nodes, ...this.#retired.keys()].map((node) => node.close()));
  }

  #retire(node: CacheNode): void {
    const timer = this.#parts.clock.after(RETIRE_AFTER_MS, () => {
      this.#retired.delete(node);
      node.close().catch(() => {});
    });
    this.#retired.set(node, timer);
  }
}

/** All nodes that a document names: the ring, its source, those that locks are on still, the control. */
function placesOf({ members, source, locks, control }: TopologyDocument): Member[] {
  const places = [...members, ...(source ?? []), ...locks.leaving];
  const { url } = control;
  return url === undefined ? places : [...places, { id: CONTROL_ID, url, weight: 1 }];
}
