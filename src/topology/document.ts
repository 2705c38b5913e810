/**
 * The topology document: which nodes form the ring, under which number.
 *
 * It is plain JSON, numbered by its epoch, and stands at every node under
 * `{ns}:t`, so that a process which a node turns away as outdated can read the
 * news there. It holds addresses but no credentials: whoever adopts it uses
 * its own.
 */
import { createHash } from 'node:crypto';
import { hideCredentials } from '../errors.ts';
import { addressOf } from '../node/address.ts';
import { fenceOf } from '../node/fence.ts';
import { checkMembers, checkSettings, type RingSettings } from '../ring/members.ts';

export interface Member {
  readonly id: string;
  /** Without user and password. */
  readonly url: string;
  readonly weight: number;
  /** The epoch in which it was given this address: every process goes there, whatever it was started with. */
  readonly readdressed?: number;
  /** Of one that has left: no server runs there, so nobody waits for it. */
  readonly lost?: true;
}

/** Who owned the keys from an epoch on. */
export interface Era {
  readonly since: number;
  /**
   * The change to it was taken back: its joint phase never ended, so whoever owned a key in the
   * era before has seen every set and delete of this one too.
   */
  readonly takenBack?: true;
  readonly members: readonly { readonly id: string; readonly weight: number }[];
}

/**
 * Locks outlive a change of the ring by their ttl: until then a lock has to be
 * taken at every node that owned its name in one of the rings since.
 */
export interface LockEra {
  /** The oldest ring that counts: the `since` of an era. */
  readonly since: number;
  /** Nodes of those rings that are neither members nor source any more. */
  readonly leaving: readonly Member[];
  /** Nobody uses an older ring any more: every node was raised, or those that were not may not be used. */
  readonly sealed: boolean;
  /**
   * Every number that is granted with a lock from now on is larger, in microseconds since 1970: a
   * node that becomes the only home of a name again still has the counter of the time before.
   */
  readonly floor: number;
}

/** The node that decides which document comes next. */
export interface Control {
  /** A member, or `CONTROL_ID` for a server that is no cache node. */
  readonly id: string;
  /** Of a server that is no member; without user and password. */
  readonly url?: string;
}

/** The id of a control that is no member: no member can be called so. */
export const CONTROL_ID = '@control';

export interface TopologyDocument {
  readonly version: 1;
  readonly epoch: number;
  /** Of the ring of `members`. */
  readonly fingerprint: string;
  /** The fingerprint of the first ring: tells one fleet's nodes from another's. */
  readonly origin: string;
  readonly control: Control;
  /** How all rings of the fleet are built. */
  readonly ring: RingSettings;
  readonly members: readonly Member[];
  /** The members before the change under way; null while the ring is stable. */
  readonly source: readonly Member[] | null;
  /** Entries of a node older than its floor are not believed. */
  readonly floors: Readonly<Record<string, number>>;
  /** The run of the server for which a floor was raised. */
  readonly runs: Readonly<Record<string, string>>;
  /** Which rings count for locks. */
  readonly locks: LockEra;
  /** Newest first, at most `HISTORY_LENGTH`. The first is the present ring. */
  readonly history: readonly Era[];
}

/**
 * How many eras are remembered. An entry older than the last of them is a miss:
 * sixteen changes of the ring outlast any ttl in practice.
 */
export const HISTORY_LENGTH = 16;

/**
 * What the nodes compare with theirs: no two documents have the same. Of the
 * first, which every process makes from its own options, it tells whether
 * those were the same; of all others, whether they are the same to the letter.
 */
export function fenceOfDocument(document: TopologyDocument): string {
  const { epoch, fingerprint, control } = document;
  if (epoch > 1) return fenceOf(epoch, digestOf(encodeDocument(document)));
  if (control.url === undefined) return fenceOf(epoch, fingerprint);
  return fenceOf(epoch, digestOf(`${fingerprint} ${control.url}`));
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

export function encodeDocument(document: TopologyDocument): string {
  return JSON.stringify(document);
}

/** Undefined when the text is not a document of a version known here. */
export function parseDocument(text: string | undefined): TopologyDocument | undefined {
  if (text === undefined) return undefined;
  try {
    const found: unknown = JSON.parse(text);
    return isDocument(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether it can be put into force: a document that cannot must not be taken
 * for the newest, and whoever can write to a node must not stop a process.
 */
function isDocument(found: unknown): found is TopologyDocument {
  if (!isRecord(found)) return false;
  const { version, epoch, fingerprint, origin, members, source, history, locks } = found;
  return (
    version === 1 &&
    isEpoch(epoch) &&
    isFingerprint(fingerprint) &&
    isFingerprint(origin) &&
    isListOf(members, isMember) &&
    (source === null || isListOf(source, isMember)) &&
    hasPlaces(found) &&
    isListOf(history, isEra) &&
    isLockEra(locks) &&
    isHistoryOf(found as unknown as TopologyDocument)
  );
}

/** Throws, as does `checkSettings`, for what is no description of a ring. */
function hasPlaces({ control, ring, floors, runs }: Record<string, unknown>): boolean {
  return (
    isRecord(floors) &&
    Object.values(floors).every((floor) => Number.isSafeInteger(floor)) &&
    isRecord(runs) &&
    Object.values(runs).every((run) => typeof run === 'string') &&
    isRecord(control) &&
    typeof control['id'] === 'string' &&
    (control['url'] === undefined || isMember(control)) &&
    isRecord(ring) &&
    checkSettings(ring).points === ring['points'] &&
    checkSettings(ring).placement === ring['placement']
  );
}

/** Newest first; the first era is that of the members, the second that of the source. */
function isHistoryOf({ epoch, members, source, history, locks }: TopologyDocument): boolean {
  const [present, previous] = history;
  return (
    present !== undefined &&
    areNamed(history, { members, locks }) &&
    present.since <= epoch &&
    history.every(({ since }, i) => i === 0 || since < history[i - 1]!.since) &&
    areSame(present.members, members) &&
    (source === null || (previous !== undefined && areSame(previous.members, source)))
  );
}

/** Every node on which locks may be has an address. */
function areNamed(
  history: readonly Era[],
  { members, locks }: Pick<TopologyDocument, 'members' | 'locks'>,
): boolean {
  const named = new Set([...members, ...locks.leaving].map(({ id }) => id));
  const counting = history.filter(({ since }) => since >= locks.since);
  return (
    counting.at(-1)?.since === locks.since &&
    counting.every((era) => era.members.every(({ id }) => named.has(id)))
  );
}

/** Throws, as does `checkMembers`, for what is no list of members. */
function areSame(one: Era['members'], other: Era['members']): boolean {
  const [a, b] = [checkMembers(one), checkMembers(other)];
  return (
    a.length === b.length &&
    a.every(({ id, weight }, i) => id === b[i]?.id && weight === b[i].weight)
  );
}

function isMember(found: unknown): boolean {
  if (!isRecord(found) || typeof found['url'] !== 'string') return false;
  if (found['readdressed'] !== undefined && !isEpoch(found['readdressed'])) return false;
  if (found['lost'] !== undefined && found['lost'] !== true) return false;
  // Throws for an address that cannot be used.
  addressOf({ id: String(found['id']), url: found['url'] });
  return true;
}

function isLockEra(found: unknown): found is LockEra {
  if (!isRecord(found)) return false;
  const { since, leaving, sealed, floor } = found;
  if (!Number.isSafeInteger(floor) || (floor as number) < 0) return false;
  return (
    isEpoch(since) &&
    typeof sealed === 'boolean' &&
    isListOf(leaving, isMember) &&
    areNodes(leaving)
  );
}

/** Throws, as does `checkMembers`, for what is no list of nodes. */
function areNodes(found: readonly unknown[]): boolean {
  return found.length === 0 || checkMembers(found as Member[]).length > 0;
}

function isEra(found: unknown): boolean {
  if (!isRecord(found) || !isEpoch(found['since'])) return false;
  if (found['takenBack'] !== undefined && found['takenBack'] !== true) return false;
  return Array.isArray(found['members']) && checkMembers(found['members']).length > 0;
}

function isEpoch(found: unknown): boolean {
  return Number.isSafeInteger(found) && (found as number) >= 1;
}

function isFingerprint(found: unknown): boolean {
  return typeof found === 'string' && /^[0-9a-f]{8}$/.test(found);
}

function isListOf(found: unknown, is: (item: unknown) => boolean): found is unknown[] {
  return Array.isArray(found) && found.every((item) => is(item));
}

function isRecord(found: unknown): found is Record<string, unknown> {
  return typeof found === 'object' && found !== null && !Array.isArray(found);
}

/** A node's address as it may be shown and shared: the URL without user and password. */
export function publicAddress(url: string): string {
  return hideCredentials(url).replace('//***@', '//');
}

/** The address of a document's member, with the credentials of a URL that this process knows. */
export function withCredentials(address: string, known: string): string {
  const credentials = /^[a-z]+:\/\/([^/]*@)/.exec(known)?.[1] ?? '';
  // A function, because a password may contain what a replacement text expands: `$&`.
  return address.replace('://', () => `://${credentials}`);
}
