/**
 * Which document follows from which: the first of a fleet, and every step from
 * one to the next. Pure; whether a document comes into force is decided by the
 * control (see `announce.ts`).
 */
import type { HashRing } from '../ring/ring.ts';
import {
  CONTROL_ID,
  type Control,
  type Era,
  HISTORY_LENGTH,
  type LockEra,
  type Member,
  type TopologyDocument,
} from './document.ts';

/** Of the first start: what every process with the same options makes by itself. */
export function firstDocument(
  members: readonly Member[],
  of: { ring: HashRing; points: number; controlUrl?: string | undefined },
): TopologyDocument {
  const { ring, points, controlUrl } = of;
  const { fingerprint, placement } = ring;
  return {
    version: 1,
    epoch: 1,
    fingerprint,
    origin: fingerprint,
    control: controlUrl === undefined ? firstOf(members) : { id: CONTROL_ID, url: controlUrl },
    ring: { points, placement },
    members,
    source: null,
    floors: {},
    runs: {},
    locks: { since: 1, leaving: [], sealed: true, floor: 0 },
    history: [eraOf(1, members)],
  };
}

export interface Change {
  readonly members: readonly Member[];
  readonly fingerprint: string;
  /** Nodes that leave because they run no more. */
  readonly lost?: ReadonlySet<string>;
  /** Members whose new address is that of another server: what is there is of another life. */
  readonly replaced?: ReadonlySet<string>;
}

/** Another ring, in its joint phase: the owners before are asked for what the new ones lack. */
export function changed(from: TopologyDocument, to: Change): TopologyDocument {
  const epoch = from.epoch + 1;
  const { members, fingerprint } = to;
  const floors = Object.fromEntries([...(to.replaced ?? [])].map((id) => [id, epoch]));
  return {
    ...from,
    epoch,
    fingerprint,
    control: controlOf(from.control, members),
    members,
    source: from.members,
    ...onlyOf([...members, ...from.members], { ...from, floors: { ...from.floors, ...floors } }),
    locks: { ...from.locks, leaving: leaving(from, to), sealed: false },
    history: [eraOf(epoch, members), ...from.history].slice(0, HISTORY_LENGTH),
  };
}

/** The end of a joint phase: the new ring alone. */
export function closed(joint: TopologyDocument): TopologyDocument {
  const { locks, epoch } = joint;
  return { ...joint, epoch: epoch + 1, source: null, locks: { ...locks, sealed: true } };
}

/**
 * A joint phase taken back: the ring before owns again, and the new one is
 * asked for what has come to it meanwhile.
 */
export function takenBack(joint: TopologyDocument, fingerprint: string): TopologyDocument {
  const [unfinished, ...before] = joint.history;
  const members = joint.source ?? joint.members;
  const history: Era[] = unfinished === undefined ? [] : [{ ...unfinished, takenBack: true }];
  return changed({ ...joint, history: [...history, ...before] }, { members, fingerprint });
}

/** What a node had before `run` of its server is not believed. */
export function withFloor(
  from: TopologyDocument,
  node: string,
  run: string | undefined,
): TopologyDocument {
  const epoch = from.epoch + 1;
  const runs = run === undefined ? from.runs : { ...from.runs, [node]: run };
  return { ...from, epoch, floors: { ...from.floors, [node]: epoch }, runs };
}

/** Only the present ring counts for locks from now on. */
export function settled(from: TopologyDocument, floor: number): TopologyDocument {
  const locks: LockEra = { since: presentOf(from).since, leaving: [], sealed: true, floor };
  return { ...from, epoch: from.epoch + 1, locks };
}

/**
 * A new start under `epoch`, decided by another control. Nothing that was
 * stored before is believed, unless it is certain that nothing else came
 * between.
 */
export function recovered(
  from: TopologyDocument,
  to: { epoch: number; control: Control; believe: boolean },
): TopologyDocument {
  const { epoch, control, believe } = to;
  if (believe) return { ...from, epoch, control };
  const locks: LockEra = { ...from.locks, since: epoch, sealed: false };
  return { ...from, epoch, control, source: null, locks, history: [eraOf(epoch, from.members)] };
}

export function eraOf(since: number, members: readonly Member[]): Era {
  return { since, members: members.map(({ id, weight }) => ({ id, weight })) };
}

export function presentOf(document: TopologyDocument): Era {
  const [present] = document.history;
  if (present === undefined) throw new TypeError('a document needs an era');
  return present;
}

/** The member with the smallest id, in the order of UTF-16 code units. */
function firstOf(members: readonly Member[]): Control {
  const [first = ''] = members.map(({ id }) => id).sort();
  return { id: first };
}

function controlOf(control: Control, members: readonly Member[]): Control {
  const stays = control.url !== undefined || members.some(({ id }) => id === control.id);
  return stays ? control : firstOf(members);
}

/** Nothing is kept of nodes that are gone. */
function onlyOf(
  members: readonly Member[],
  { floors, runs }: Pick<TopologyDocument, 'floors' | 'runs'>,
): Pick<TopologyDocument, 'floors' | 'runs'> {
  const ids = new Set(members.map(({ id }) => id));
  const kept = <T>(of: Readonly<Record<string, T>>): Record<string, T> =>
    Object.fromEntries(Object.entries(of).filter(([id]) => ids.has(id)));
  return { floors: kept(floors), runs: kept(runs) };
}

/** Nodes that locks may be on though they are no members: those that leave, and those that left shortly before. */
function leaving(from: TopologyDocument, { members, lost }: Change): Member[] {
  const staying = new Set(members.map(({ id }) => id));
  const left = [...from.locks.leaving, ...from.members].filter(({ id }) => !staying.has(id));
  return Array.from(new Map(left.map((member) => [member.id, member])).values(), (member) =>
    lost?.has(member.id) ? { ...member, lost: true } : member,
  );
}
