/**
 * The same cache without one of the parts that keep the promise: whoever judges
 * a run has to notice that it is missing. Each takes the part away from the
 * classes of this process, before the first cache is made.
 */
import { Loader } from '../../../src/load/loader.ts';
import { Reads } from '../../../src/load/reads.ts';
import { Writes } from '../../../src/load/writes.ts';
import type { CacheNode } from '../../../src/node/node.ts';
import { FENCED, FILL, SCRIPTS, type Script, script } from '../../../src/node/scripts.ts';
import { Snapshot } from '../../../src/topology/snapshot.ts';

/** What is done without. */
export const WEAKNESSES = {
  'owner-only': 'while the ring changes, a write goes to the present owner alone',
  'owner-first': 'while the ring changes, a delete goes to the present owner first',
  'no-fence': 'nodes carry out what is asked of them under any epoch',
  'no-epoch-check': 'a read believes what a node says that knows a newer ring',
  'no-continuity': 'an entry is believed though its node did not own the key all the time since',
  'no-lease': 'what was loaded is stored whatever came meanwhile',
} as const;
export type Weakness = keyof typeof WEAKNESSES;

const WEAKEN: Readonly<Record<Weakness, () => void>> = {
  'owner-only': () => hidePrevious(['set', 'delete'], () => Promise.resolve()),
  'owner-first'() {
    hidePrevious(['delete'], async ({ previous, key, fence }) => {
      await previous.remove(key, fence);
    });
  },
  'no-fence'() {
    for (const one of SCRIPTS) change(one, FENCED, '');
  },
  'no-epoch-check'() {
    const { arrived } = Loader.prototype;
    Loader.prototype.arrived = function (flight, stored, epoch) {
      arrived.call(this, flight, stored, Math.min(epoch, flight.snapshot.epoch));
    };
    const { accept } = Reads.prototype;
    Reads.prototype.accept = function (question, stored, epoch) {
      return accept.call(this, question, stored, Math.min(epoch, question.snapshot.epoch));
    };
  },
  'no-continuity'() {
    Snapshot.prototype.believes = () => true;
    Snapshot.prototype.believesPrevious = () => true;
  },
  'no-lease': () => change(FILL, 'if not holds(KEYS[3], ARGV[2]) then return 0 end', ''),
};

export function weaken(weakness: Weakness): void {
  WEAKEN[weakness]();
}

function change(one: Script, part: string, by: string): void {
  Object.assign(
    one,
    script(
      one.keys,
      one.lua.replace(part, () => by),
    ),
  );
}

interface Hidden {
  readonly previous: CacheNode;
  readonly key: string;
  readonly fence: string;
}

/**
 * Writes are not told of the previous owner; `afterwards` is, when they are
 * done. A write looks for it first thing, before it waits for anything.
 */
function hidePrevious(
  writes: readonly ('set' | 'delete')[],
  afterwards: (hidden: Hidden) => Promise<void>,
): void {
  const { previousOwner } = Snapshot.prototype;
  let hides = false;
  let found: { previous: CacheNode; fence: string } | undefined;
  Snapshot.prototype.previousOwner = function (hash) {
    const previous = previousOwner.call(this, hash);
    if (!hides) return previous;
    found = previous && { previous, fence: this.fence };
    return undefined;
  };
  async function without(key: string, write: () => Promise<boolean>): Promise<boolean> {
    hides = true;
    found = undefined;
    const writing = write();
    hides = false;
    const hidden = found === undefined ? undefined : { ...(found as Hidden), key };
    const isTaken = await writing;
    if (hidden !== undefined) await afterwards(hidden);
    return isTaken;
  }
  const { set, delete: remove } = Writes.prototype;
  if (writes.includes('set')) {
    Writes.prototype.set = function (prepared, settings) {
      return without(prepared.key, () => set.call(this, prepared, settings));
    };
  }
  if (writes.includes('delete')) {
    Writes.prototype.delete = function (key) {
      return without(key, () => remove.call(this, key));
    };
  }
}
