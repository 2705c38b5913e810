/**
 * A node that was away never serves what was deleted meanwhile: the
 * specification, as histories in which processes take turns at random.
 *
 * Four processes read and delete two keys of one node. The node goes away and
 * comes back, as it was or as it was saved before; so do its guardians; and the
 * network between one process and one of the three is cut at times. A process
 * does not live on here: a delete that it could not finish is left to others.
 *
 * What must not happen: that a read returns an older version than one
 *
 * - whose delete was acknowledged before the read began;
 * - whose delete was *noted*, not confirmed, before the read began, by a process
 *   which connected to the node after the note, or after a time when the node
 *   was down for all and was tried in vain.
 *
 * Who was connected all the time while another process was cut off from the
 * node is told nothing: only the ttl bounds what it reads.
 *
 * The protocol, which `Mutation` takes apart:
 *
 * 1. Before a node is used on a new connection, its run is compared. Another
 *    one than was known raises the node's *floor*: nothing older is believed.
 * 2. A delete that fails is *noted* at the guardians, then tried once more.
 * 3. When a connection stands, the notes are read, and what they name is
 *    removed, before the node is used. Then just those notes are taken off.
 * 4. When no guardian answers, nobody knows what was missed: a floor.
 *
 * What two guardians cannot do is in `GuardianFaults`: notes that were made
 * while one was away are not found while the other one is.
 */
import { type Outcome, play } from './model-steps.ts';
import { RejoinClient } from './rejoin-model-client.ts';
import {
  GUARDIANS,
  KEYS,
  NAMES,
  type Name,
  NODE,
  type RejoinCounts,
  type RejoinSetup,
  RejoinWorld,
} from './rejoin-model-world.ts';

const OPERATIONS = 80;

export function simulate(setup: RejoinSetup, tell?: (line: string) => void): Outcome<RejoinCounts> {
  const world = new RejoinWorld(setup, tell);
  const { dice, stale, counts } = world;
  const clients = ['first', 'second', 'third', 'fourth'].map(
    (name) => new RejoinClient(name, world),
  );
  play(dice, {
    operations: OPERATIONS,
    atOnce: 5,
    start: () => {
      const [client, key] = [dice.oneOf(clients), dice.oneOf(KEYS)];
      return dice.happens(0.75) ? client.read(key) : client.remove(key);
    },
    disturb: () => {
      disturbNode(world, clients, NODE);
      disturbGuardians(world, clients);
      if (dice.happens(setup.cuts ?? 0.02))
        dice.oneOf(clients).cut(dice.oneOf(NAMES), dice.happens(0.4));
    },
  });
  return { stale, counts };
}

function disturbNode(world: RejoinWorld, clients: readonly RejoinClient[], name: Name): void {
  const { dice, tell } = world;
  const node = world.node(name);
  if (!node.isUp) {
    if (!dice.happens(world.setup.returns ?? 0.1)) return;
    node.comeBack();
    tell?.(`${name} is back, run ${node.run}`);
    return;
  }
  if (dice.happens(0.02)) node.save();
  if (!dice.happens(world.setup.outages ?? 0.02)) return;
  const crashes = dice.happens(world.setup.crashes ?? 0.3);
  node.goAway(crashes);
  for (const client of clients) client.lose(name);
  tell?.(`${name} ${crashes ? 'crashes' : 'cannot be reached'}`);
}

function disturbGuardians(world: RejoinWorld, clients: readonly RejoinClient[]): void {
  const { guardians = 'one' } = world.setup;
  const [first, second] = GUARDIANS;
  if (guardians === 'none') return;
  const isSecond = guardians === 'in turn' && world.node(first).isUp && world.dice.happens(0.5);
  disturbNode(world, clients, isSecond || !world.node(second).isUp ? second : first);
}

/** A history in words, with its seed. */
export function story(setup: RejoinSetup): string {
  const lines: string[] = [];
  simulate(setup, (line) => lines.push(line));
  return [JSON.stringify(setup), ...lines].join('\n');
}
