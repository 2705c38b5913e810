/**
 * One look-up: which node owns a key, for 3, 10 and 100 nodes.
 *
 * The floor is the hash alone, called directly: no look-up that hashes with
 * xxHash through xxhash-wasm can be faster. Beside it the npm package
 * `hashring`, with the memo of recent keys that it has by default and without,
 * and what most tutorials build: md5 and a walk over the points from the first.
 * Memos are timed as they are: with 1,000 keys every look-up finds its key in
 * the memo, with 100,000 hardly one does.
 *
 * It says nothing about the network, which costs a thousand times as much, nor
 * about building keys.
 */

import { createHash, hash } from 'node:crypto';
import { createRequire } from 'node:module';
import xxhash from 'xxhash-wasm';
import { HashRing } from '../src/ring/ring.ts';
import {
  atLeast,
  atMost,
  type Bench,
  type BenchContext,
  type Case,
  Checksum,
  measure,
  type Report,
  type Target,
  type Timing,
} from './bench.ts';
import { seededRandom } from './random.ts';
import type { Table } from './report.ts';

const NODE_COUNTS = [3, 10, 100];
const FLOOR = 'h32 alone (the floor)';
const OURS = 'ringcache owner()';
const MEMO_OFF = 'hashring, memo off';
const MEMO_ON = 'hashring, as it comes';
const LINEAR = 'md5, linear scan';

interface Peer {
  get(key: string): string;
}
type PeerClass = new (
  servers: readonly string[],
  algorithm: 'md5',
  options?: { 'max cache size': number },
) => Peer;

interface Point {
  readonly at: number;
  readonly id: string;
}

/** Everything that is measured for one number of nodes. */
interface Subject {
  readonly count: number;
  readonly ours: HashRing;
  readonly memoOff: Peer;
  readonly memoOn: Peer;
  readonly points: readonly Point[];
}

/**
 * Which keys are looked up, by index. Drawn and not in a row: keys that lie in
 * memory in the order of their use are in the processor's cache before they are
 * wanted, which no server's keys are.
 */
interface Draws {
  readonly keys: readonly string[];
  readonly order: Uint32Array;
}

export const ringLookup: Bench = {
  name: 'ring-lookup',
  about: 'which node owns a key: nanoseconds per look-up beside the hash alone and hashring',
  run,
};

async function run(context: BenchContext): Promise<Report> {
  const keyCount = context.parameter(5_000, 100_000);
  const rounds = context.parameter(3, 41);
  const { h32 } = await xxhash();
  const subjects = await Promise.all(NODE_COUNTS.map(prepare));
  const keys = Array.from({ length: keyCount }, (_, i) => flat(`user:${i}:profile`));
  const checksum = await checkAnswers(subjects, keys);
  const sets = [
    { name: 'hot', draws: { keys, order: draw(keyCount, 1_000) } },
    { name: 'all', draws: { keys, order: draw(keyCount, keyCount) } },
  ];
  const timings = new Map<string, Timing>();
  for (const set of sets) {
    context.progress(`${rounds} rounds over the ${set.name} keys`);
    const cases = [
      floorCase(h32, set.draws, keyCount),
      ...subjects.flatMap((s) => casesOf(s, set.draws, keyCount)),
    ];
    for (const timing of await measure(cases, { rounds, warmup: context.parameter(1, 4) })) {
      timings.set(`${set.name} ${timing.name}`, timing);
    }
  }
  return report(timings, checksum, { keys: keyCount, 'hot keys': 1_000, rounds });
}

/** `count` keys one after the other, each any of the first `among`. */
function draw(count: number, among: number): Uint32Array {
  const random = seededRandom(among);
  return Uint32Array.from({ length: count }, () => Math.floor(random() * among));
}

/** Strings built from parts are ropes in V8 until somebody reads them; keys of requests are not. */
function flat(text: string): string {
  return Buffer.from(text).toString('latin1');
}

async function prepare(count: number): Promise<Subject> {
  const Peer = createRequire(import.meta.url)('hashring') as PeerClass;
  const ids = Array.from({ length: count }, (_, i) => `10.0.0.${i}:6379`);
  const points = ids.flatMap((id) =>
    Array.from({ length: 160 }, (_, i) => ({ at: md5(`${id}-${i}`), id })),
  );
  return {
    count,
    ours: await HashRing.create(ids.map((id) => ({ id }))),
    memoOff: new Peer(ids, 'md5', { 'max cache size': 1 }),
    memoOn: new Peer(ids, 'md5'),
    points: points.sort((a, b) => a.at - b.at),
  };
}

/** As the tutorials have it: eight hexadecimal digits of md5, parsed. */
function md5(text: string): number {
  return Number.parseInt(createHash('md5').update(text).digest('hex').slice(0, 8), 16);
}

function linearOwner(points: readonly Point[], key: string): string {
  const at = md5(key);
  return (points.find((point) => point.at >= at) ?? points[0]!).id;
}

/**
 * Correctness before speed. Ours against the definition, point by point; and
 * our ketama against hashring, so that its rows here are those of the real ring.
 */
async function checkAnswers(
  subjects: readonly Subject[],
  keys: readonly string[],
): Promise<string> {
  const checksum = new Checksum();
  for (const { count, ours, memoOff, memoOn } of subjects) {
    const ketama = await HashRing.create(
      ours.ids.map((id) => ({ id })),
      { placement: 'ketama' },
    );
    for (const key of keys.slice(0, 2_000)) {
      const owner = ours.owner(key);
      if (owner !== ownerByDefinition(ours, key))
        throw new Error(`${count} nodes, ${key}: wrong owner`);
      const theirs = memoOff.get(key);
      if (theirs !== ketama.owner(key) || theirs !== memoOn.get(key)) {
        throw new Error(`${count} nodes, ${key}: hashring and ketama differ`);
      }
      checksum.add(owner);
      checksum.add(theirs);
    }
    for (const key of keys) checksum.add(ours.hash(key));
  }
  // Whatever md5 gives: it is here to be timed, but has to have been the same.
  checksum.add(hash('md5', keys.join()));
  return checksum.toString();
}

/** The owner of the point that is the shortest way ahead of the key. */
function ownerByDefinition(ring: HashRing, key: string): string | undefined {
  const { points } = ring;
  const hash = ring.hash(key);
  let best = 2 ** 33;
  let owner = -1;
  for (let place = 0; place < points.size; place++) {
    const way = (points.hashAt(place) - hash) >>> 0;
    if (way < best) {
      best = way;
      owner = points.ownerAt(place);
    }
  }
  return ring.ids[owner];
}

// Every row has a loop of its own: V8 gathers what it knows about a call where
// the call stands, and a shared loop would slow down the fast rows.

function floorCase(
  h32: (text: string) => number,
  { keys, order }: Draws,
  operations: number,
): Case {
  return {
    name: FLOOR,
    operations,
    run() {
      let sum = 0;
      for (let i = 0; i < operations; i++) {
        sum = (sum + h32(keys[order[i]!]!)) | 0;
      }
      return sum;
    },
  };
}

function casesOf(subject: Subject, draws: Draws, operations: number): Case[] {
  return [
    oursCase(subject, draws, operations),
    // The slow ones do less.
    peerCase(
      { name: `${MEMO_OFF} ${subject.count}`, ring: subject.memoOff },
      draws,
      operations / 5,
    ),
    peerCase({ name: `${MEMO_ON} ${subject.count}`, ring: subject.memoOn }, draws, operations / 5),
    linearCase(subject, draws, operations / (subject.count > 10 ? 50 : 10)),
  ];
}

function oursCase({ count, ours }: Subject, { keys, order }: Draws, operations: number): Case {
  return {
    name: `${OURS} ${count}`,
    operations,
    run() {
      let sum = 0;
      for (let i = 0; i < operations; i++) {
        sum = (sum + ours.owner(keys[order[i]!]!).length) | 0;
      }
      return sum;
    },
  };
}

function peerCase(
  peer: { name: string; ring: Peer },
  { keys, order }: Draws,
  operations: number,
): Case {
  const { name, ring } = peer;
  return {
    name,
    operations,
    run() {
      let sum = 0;
      for (let i = 0; i < operations; i++) {
        sum = (sum + ring.get(keys[order[i]!]!).length) | 0;
      }
      return sum;
    },
  };
}

function linearCase({ count, points }: Subject, { keys, order }: Draws, operations: number): Case {
  return {
    name: `${LINEAR} ${count}`,
    operations,
    run() {
      let sum = 0;
      for (let i = 0; i < operations; i++) {
        sum = (sum + linearOwner(points, keys[order[i]!]!).length) | 0;
      }
      return sum;
    },
  };
}

function report(
  timings: ReadonlyMap<string, Timing>,
  checksum: string,
  parameters: Readonly<Record<string, number>>,
): Report {
  const of = (set: string, name: string): Timing => timings.get(`${set} ${name}`)!;
  const rows = [
    FLOOR,
    ...NODE_COUNTS.flatMap((n) => [OURS, MEMO_OFF, MEMO_ON, LINEAR].map((row) => `${row} ${n}`)),
  ];
  const table: Table = {
    title: 'Nanoseconds per look-up (median of the rounds), and as a multiple of the hash alone',
    columns: [
      { key: 'row', head: 'row and nodes' },
      { key: 'hot', head: '1,000 keys', digits: 0 },
      { key: 'hotRatio', head: '× h32', digits: 2 },
      { key: 'all', head: `${parameters['keys']!.toLocaleString('en-US')} keys`, digits: 0 },
      { key: 'allRatio', head: '× h32', digits: 2 },
      { key: 'spread', head: 'spread', percent: true },
    ],
    rows: rows.map((row) => ({
      row,
      hot: of('hot', row).median,
      hotRatio: of('hot', row).ratioTo(of('hot', FLOOR)),
      all: of('all', row).median,
      allRatio: of('all', row).ratioTo(of('all', FLOOR)),
      spread: of('all', row).spread,
    })),
  };
  const all = (row: string, count: number): Timing => of('all', `${row} ${count}`);
  const targets: Target[] = [
    ...NODE_COUNTS.map((n) =>
      atMost(`${OURS}, ${n} nodes ÷ h32 alone`, all(OURS, n).ratioTo(of('all', FLOOR)), 1.2),
    ),
    atMost(`${OURS}, 100 nodes ÷ 3 nodes`, all(OURS, 100).ratioTo(all(OURS, 3)), 1.3),
    ...NODE_COUNTS.map((n) =>
      atLeast(`${MEMO_OFF} ÷ ${OURS}, ${n} nodes`, all(MEMO_OFF, n).ratioTo(all(OURS, n)), 8),
    ),
  ];
  const [cost, gain] = [
    all(OURS, 10).ratioTo(of('all', FLOOR)),
    all(MEMO_ON, 10).ratioTo(all(OURS, 10)),
  ];
  return {
    summary:
      `Finding the owner among 10 nodes takes ${cost.toFixed(2)} times as long as hashing the key does, ` +
      `and hashring as it comes takes ${gain.toFixed(1)} times as long as that. Its memo pays ` +
      'only while it holds every key in use.',
    parameters,
    tables: [table],
    targets,
    checksum,
    peers: ['xxhash-wasm', 'hashring'],
  };
}
