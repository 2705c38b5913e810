/**
 * How a ring changes without a stale read: the specification, as histories in
 * which processes take turns at random.
 *
 * Four processes read, write and copy two keys on three nodes, while drivers
 * change the owners, take changes back, and end joint phases; nodes restart
 * with nothing or with an old snapshot, and evict values and leases; processes
 * hear of a change when a node turns them away. What must not happen: a read
 * that starts after a set or delete was acknowledged returns an older version.
 *
 * The protocol, which `Mutation` takes apart:
 *
 * 1. A *document* names the owner of each key, and in a *joint phase* the
 *    *source*, which owned it before. One node compares and sets it. Documents
 *    are numbered, entries are stamped with the number by which they were stored.
 * 2. Each node has the number of the newest document it has seen. A request
 *    bears that of its sender: a lower one is turned away, a higher one raises
 *    the node.
 * 3. A miss takes a *lease*, asks the source, or loads, and stores under the
 *    lease. A set stores, and a delete removes, at the source first, then at the
 *    owner; both end the lease there.
 * 4. A joint phase ends when all nodes were raised to it (*barrier*).
 * 5. A node's entry is believed if the node has seen every set and delete since
 *    its stamp: as owner or as source, in every document.
 * 6. A change that is *taken back* is a joint phase the other way round. Those
 *    who owned before it have been its sources, and go on: rule 5 says it already.
 * 7. A node that was restarted gets a *floor*: nothing older is believed.
 *
 * Where to find them: documents and nodes in `-nodes`, rules and what is left
 * out in `-world`, what processes do in `-client`.
 *
 * Not covered: the memory of a process, nodes that are cut off from some
 * (`partition-model.ts`) or from all for a while (`rejoin-model.ts`), a control
 * that is lost.
 */
import { type Outcome, play, type Steps } from './model-steps.ts';
import { RingClient } from './ring-model-client.ts';
import { type Document, drawOwners, KEYS, NODES } from './ring-model-nodes.ts';
import { type RingCounts, type RingSetup, type Tell, World } from './ring-model-world.ts';

const OPERATIONS = 90;

export function simulate(setup: RingSetup, tell?: Tell): Outcome<RingCounts> {
  const world = new World(setup, tell);
  const { dice, counts, stale } = world;
  const clients = ['first', 'second', 'third', 'fourth'].map((name) => new RingClient(name, world));
  play(dice, {
    operations: OPERATIONS,
    atOnce: 5,
    start: () => {
      const [client, key, what] = [dice.oneOf(clients), dice.oneOf(KEYS), dice.between(0, 1)];
      if (what < 0.6) return client.read(key);
      return what < 0.85 ? client.write(key, dice.happens(0.3)) : client.copy(key);
    },
    disturb: (also) => {
      if (
        dice.happens(setup.changes ?? 0.03) &&
        counts.changes < (setup.changes === undefined ? 8 : 60)
      ) {
        counts.changes += 1;
        also(drive(world));
      }
      if (dice.happens(0.01)) dice.oneOf(clients).refresh();
      disturbNodes(world);
    },
  });
  return { stale, counts };
}

/** A driver: begins a change and perhaps ends it, or takes back or ends what another one has begun. */
function* drive(world: World): Steps {
  const { control, dice, setup } = world;
  const base = control.newest;
  yield;
  if (base.sources === undefined) {
    const step = { owners: drawOwners(dice), sources: base.owners, takesBack: false };
    if (!control.propose(base, step)) return;
    world.tell?.(`a change begins: ${JSON.stringify(control.newest)}`);
    if (dice.happens(0.3)) yield* end(world, control.newest);
  } else if (dice.happens(setup.takenBack ?? 0.4)) {
    const step = { owners: base.sources, sources: base.owners, takesBack: true };
    if (!control.propose(base, step)) return;
    world.counts.takenBack += 1;
    world.tell?.(`the change is taken back: ${JSON.stringify(control.newest)}`);
  } else {
    yield* end(world, base);
  }
}

/** Raises all nodes to a joint phase, and ends it. */
export function* end(world: World, base: Document): Steps {
  const { control } = world;
  yield* raiseAll(world, base);
  yield;
  if (control.propose(sameRings(world, base), { sources: undefined, takesBack: false })) {
    world.tell?.(`the joint phase ends: ${JSON.stringify(control.newest)}`);
  }
}

function sameRings(world: World, base: Document): Document {
  const { newest } = world.control;
  const isSame = newest.owners === base.owners && newest.sources === base.sources;
  return isSame && world.has('barrier-of-another-change') ? newest : base;
}

function* raiseAll(world: World, { epoch, takesBack }: Document): Steps {
  if (world.has('no-barrier')) return;
  if (takesBack && world.has('no-barrier-after-taking-back')) return;
  for (const name of NODES) {
    yield;
    const node = world.node(name);
    if (node.epoch === undefined && world.has('barrier-skips-emptied-nodes')) continue;
    node.raise(epoch);
  }
}

function disturbNodes(world: World): void {
  const { dice, setup, tell } = world;
  const node = () => world.node(dice.oneOf(NODES));
  if (dice.happens(0.01)) node().save();
  if (dice.happens(setup.restarts ?? 0.01)) {
    const [name, fromSaved] = [dice.oneOf(NODES), dice.happens(0.5)];
    world.node(name).restart(fromSaved);
    tell?.(`${name} restarts ${fromSaved ? 'from what it saved' : 'with nothing'}`);
  }
  if (dice.happens(0.02)) {
    const { values, leases } = node();
    (dice.happens(0.5) ? values : leases).delete(dice.oneOf(KEYS));
  }
}

/** A history in words, with its seed. */
export function story(setup: RingSetup): string {
  const lines: string[] = [];
  const { stale } = simulate(setup, (line) => lines.push(line));
  return [JSON.stringify(setup), ...lines, ...stale.map((read) => `STALE: ${read}`)].join('\n');
}
