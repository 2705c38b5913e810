/** A change of the ring as it is wanted: whether it can be, and what comes out of it. Pure. */
import { InvalidOptionError } from '../errors.ts';
import type { HashRing } from '../ring/ring.ts';
import { type Member, publicAddress, type TopologyDocument } from './document.ts';
import type { Seat } from './seats.ts';

export interface RingChange {
  readonly add: readonly Seat[];
  readonly remove: readonly string[];
  /** New weights of members, by id. */
  readonly weights?: Readonly<Record<string, number>>;
  /** Members that are at another address from now on. */
  readonly readdress?: readonly Seat[];
}

/** @throws InvalidOptionError */
export function checkChange(change: RingChange, from: Pick<TopologyDocument, 'members'>): void {
  const { add, remove, weights = {}, readdress = [] } = change;
  const known = new Set(from.members.map(({ id }) => id));
  const changing = [...Object.keys(weights), ...readdress.map(({ id }) => id)];
  if (add.length + remove.length + changing.length === 0) {
    throw new InvalidOptionError('change', 'one that adds, removes or changes a node', 'none');
  }
  for (const { id } of add) {
    if (known.has(id)) throw new InvalidOptionError('id', 'one that is not in the ring yet', id);
    known.add(id);
  }
  for (const id of remove) {
    if (!known.delete(id)) throw notAMember(id, from);
  }
  const added = new Set(add.map(({ id }) => id));
  for (const id of changing) {
    if (!known.has(id) || added.has(id)) throw notAMember(id, from);
  }
  if (known.size === 0) {
    throw new InvalidOptionError('id', 'not the last node of the ring', remove[0]);
  }
}

function notAMember(id: string, { members }: Pick<TopologyDocument, 'members'>): Error {
  const ids = members.map((member) => member.id).join(', ');
  return new InvalidOptionError('id', `one of the ring's nodes (${ids}) that stays`, id);
}

/** The ring after a change. */
export function apply(ring: HashRing, change: RingChange): HashRing {
  let next = ring;
  for (const { id, weight } of change.add) next = next.with({ id, weight });
  for (const id of change.remove) next = next.without(id);
  const weights = Object.entries(change.weights ?? {});
  if (weights.length === 0) return next;
  const heavier = new Map(weights);
  return next.ofSameKind(
    next.ids.map((id, i) => ({ id, weight: heavier.get(id) ?? next.weights[i] })),
  );
}

/** The members after a change. @param epoch Of the change: when a member was given its address. */
export function membersAfter(
  change: RingChange,
  members: readonly Member[],
  epoch: number,
): Member[] {
  const { add, remove, weights = {}, readdress = [] } = change;
  const staying = members
    .filter(({ id }) => !remove.includes(id))
    .map((member) => ({ ...member, weight: weights[member.id] ?? member.weight }))
    .map((member) => {
      const seat = readdress.find(({ id }) => id === member.id);
      return seat === undefined ? member : readdressed(member, seat, epoch);
    });
  return [...staying, ...add.map(memberOf)];
}

export function memberOf(seat: Seat): Member {
  return { id: seat.id, url: publicAddress(seat.url), weight: seat.weight };
}

/** The member at the address of a seat. */
export function readdressed(member: Member, seat: Seat, epoch: number): Member {
  return { ...member, url: publicAddress(seat.url), readdressed: epoch };
}
