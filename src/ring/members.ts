/**
 * Who is on a ring, and with which options: checked once, here, and brought
 * into one order. It knows nothing of hashes.
 */

import { InvalidOptionError } from '../errors.ts';

/** A node as people write it. Other fields are ignored, so a `NodeOptions` fits. */
export interface RingNode {
  /** A stable name, 1 to 64 of `A-Z a-z 0-9 . _ : -`. Placement depends on it, never on an address. */
  id: string;
  /** Share relative to the other nodes, 0.1 to 100. @default 1 */
  weight?: number | undefined;
}

/** How keys and nodes are placed. */
export type Placement = 'xxh32' | 'ketama';

export interface RingOptions {
  /**
   * Points on the ring per unit of weight, a whole number from 1 to 65,536. More points
   * balance better (stddev/mean of load is about 1/√points) and cost 4 bytes and a third
   * of a microsecond each. No effect with `placement: 'ketama'`, whose count is fixed. @default 512
   */
  points?: number | undefined;
  /** `ketama` places as the npm package `hashring` does with its defaults. @default 'xxh32' */
  placement?: Placement | undefined;
}

/** A checked node. */
export interface Member {
  readonly id: string;
  readonly weight: number;
}

/** Checked options. */
export interface RingSettings {
  readonly points: number;
  readonly placement: Placement;
}

export const RING_DEFAULTS: RingSettings = { points: 512, placement: 'xxh32' };

/** What a caller without types may pass. */
type Unchecked<T> = { readonly [Field in keyof T]?: unknown } | null | undefined;

/** What a node may be called; a namespace too. */
export const NAME = /^[A-Za-z0-9._:-]{1,64}$/;
export const NAME_RULE = '1 to 64 characters of A-Z a-z 0-9 . _ : -';
const MAX_POINTS = 65_536;
// Owners are kept in 16 bits.
const MAX_NODES = 65_535;

/** Checks the options of a ring. Throws InvalidOptionError. */
export function checkSettings(options: Unchecked<RingOptions>): RingSettings {
  if (typeof options !== 'object' || options === null) {
    throw new InvalidOptionError('options', 'an object', options);
  }
  const points = options.points ?? RING_DEFAULTS.points;
  if (!isWhole(points) || points < 1 || points > MAX_POINTS) {
    throw new InvalidOptionError('points', `a whole number from 1 to ${MAX_POINTS}`, points);
  }
  const placement = options.placement ?? RING_DEFAULTS.placement;
  if (placement !== 'xxh32' && placement !== 'ketama') {
    throw new InvalidOptionError('placement', "'xxh32' or 'ketama'", placement);
  }
  return { points, placement };
}

/** Checks one node; `path` is where it stands. Throws InvalidOptionError. */
export function checkMember(node: Unchecked<RingNode>, path: string): Member {
  if (typeof node !== 'object' || node === null) {
    throw new InvalidOptionError(path, 'an object with an id', node);
  }
  const { id, weight = 1 } = node;
  if (typeof id !== 'string' || !NAME.test(id)) {
    throw new InvalidOptionError(`${path}.id`, NAME_RULE, id);
  }
  // Written so that NaN fails too.
  if (typeof weight !== 'number' || !(weight >= 0.1 && weight <= 100)) {
    throw new InvalidOptionError(`${path}.weight`, 'a number from 0.1 to 100', weight);
  }
  return { id, weight };
}

/** Checks a list of nodes and sorts it by id. Throws InvalidOptionError. */
export function checkMembers(nodes: readonly Unchecked<RingNode>[]): Member[] {
  if (!Array.isArray(nodes) || nodes.length < 1 || nodes.length > MAX_NODES) {
    throw new InvalidOptionError('nodes', `an array of 1 to ${MAX_NODES} nodes`, nodes);
  }
  const seen = new Set<string>();
  const members = Array.from<Unchecked<RingNode>, Member>(nodes, (node, index) => {
    const member = checkMember(node, `nodes.${index}`);
    if (seen.has(member.id)) {
      throw new InvalidOptionError(`nodes.${index}.id`, 'given to one node only', member.id);
    }
    seen.add(member.id);
    return member;
  });
  return sortMembers(members);
}

/**
 * By id, in the order of UTF-16 code units, which no locale changes. Every
 * process must build the same ring from the same members, listed in any order.
 */
export function sortMembers(members: readonly Member[]): Member[] {
  return members.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

function isWhole(value: unknown): value is number {
  return Number.isInteger(value);
}
