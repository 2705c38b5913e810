/**
 * A ring changes while some cannot reach each other: the specification, as
 * histories in which processes take turns at random.
 *
 * Three processes read and delete a key of a ring of two to four nodes, one
 * driver changes the ring, and now and then the network falls in two, with any
 * peers on either side. What must not happen: a read that starts after a delete
 * was acknowledged returns an older version. (Nodes lose nothing here, and no
 * request acts late: for that see `ring-model.ts`.)
 *
 * The protocol, which `Mutation` takes apart:
 *
 * 1. A process goes by its document only while *at least half* of the nodes of
 *    its ring, and in a joint phase of each of its two rings, have told it
 *    within the *view lease* that they know nothing newer. It counts from when
 *    it asked.
 * 2. The driver ends a joint phase when it has raised every node of the ring
 *    before; or when it has raised *more than half* of them, and the view lease
 *    has passed since.
 *
 * One more than half and one half have a node in common: whoever can still trust
 * an older document has asked a node that was not raised, before it was.
 */
import { type Outcome, play, type Steps } from './model-steps.ts';
import { PartitionClient } from './partition-model-client.ts';
import {
  type Document,
  NODES,
  type NodeName,
  type PartitionCounts,
  type PartitionSetup,
  PartitionWorld,
  type Peer,
  passes,
  VIEW_LEASE,
} from './partition-model-world.ts';

const OPERATIONS = 260;
const CLIENTS: readonly Peer[] = ['client 1', 'client 2', 'client 3'];
const MOST_CHANGES = 5;

export function simulate(
  setup: PartitionSetup,
  tell?: (line: string) => void,
): Outcome<PartitionCounts> {
  const world = new PartitionWorld(setup, tell);
  const { dice, stale, counts } = world;
  const clients = CLIENTS.map((name) => new PartitionClient(name, world));
  let changes = 0;
  let isChanging = false;
  play(dice, {
    operations: OPERATIONS,
    atOnce: 5,
    start: () => {
      const [client, what] = [dice.oneOf(clients), dice.between(0, 1)];
      if (what < 0.2) return client.confirm();
      return what < 0.75 ? client.read() : client.remove();
    },
    disturb: (also) => {
      world.now += 1;
      disturb(world);
      if (
        isChanging ||
        changes === (setup.rings?.length ?? MOST_CHANGES + 1) - 1 ||
        !dice.happens(0.02)
      )
        return;
      isChanging = true;
      changes += 1;
      also(
        change(world, () => {
          isChanging = false;
        }),
      );
    },
  });
  return { stale, counts };
}

/** The worst moment is when some nodes have heard of a change, and the owner before it has not. */
function disturb(world: PartitionWorld): void {
  const { dice, isSplit, documents, now, setup } = world;
  if (setup.side !== undefined) {
    if (!isSplit && documents.length > 1 && dice.happens(0.01)) world.split(setup.side);
    return;
  }
  if (isSplit) {
    if (dice.happens(0.004)) world.split([]);
    return;
  }
  const { source, ring } = documents.at(-1)!;
  const isWorst = source !== undefined && now - world.decidedAt < 60;
  if (!dice.happens(isWorst ? 0.03 : 0.002)) return;
  const others: Peer[] = [...CLIENTS, ...NODES.filter((name) => name !== ring.owner)];
  const side = others.filter(() => dice.happens(0.5));
  world.split(isWorst ? [source.owner, ...side] : side);
}

function* change(world: PartitionWorld, over: () => void): Steps {
  const before = world.documents.at(-1)!;
  const reached = yield* raise(world, before, before.ring.members);
  // Half of them silent: whoever reaches those would not hear of the change.
  if (reached.size * 2 > before.ring.members.length || world.has('half-is-most')) {
    const joint = decide(world, { ring: world.drawRing(), source: before.ring });
    yield* untilNobodyGoesByOlder(world, joint, before.ring.members);
    const stable = decide(world, { ring: joint.ring, source: undefined });
    yield* raise(world, stable, NODES);
  }
  over();
}

function decide(world: PartitionWorld, of: Omit<Document, 'epoch'>): Document {
  const document = { ...of, epoch: world.documents.length };
  world.documents.push(document);
  world.decidedAt = world.now;
  world.tell?.(`the driver decides ${JSON.stringify(document)}`);
  return document;
}

function* untilNobodyGoesByOlder(
  world: PartitionWorld,
  joint: Document,
  members: readonly NodeName[],
): Steps {
  const raised = new Set<NodeName>();
  let mostRaisedAt: number | undefined;
  for (;;) {
    if (mostRaisedAt === undefined || world.dice.happens(0.1)) {
      for (const name of yield* raise(world, joint, NODES)) raised.add(name);
    }
    yield;
    const among = members.filter((name) => raised.has(name));
    if (among.length === members.length) break;
    const most = world.has('half-is-most') ? members.length / 2 : (members.length + 1) / 2;
    if (among.length < most) continue;
    mostRaisedAt ??= world.now;
    const since = world.has('wait-from-the-decision') ? world.decidedAt : mostRaisedAt;
    if (world.now - since <= VIEW_LEASE && !world.has('no-wait')) continue;
    world.counts.closedEarly += 1;
    break;
  }
  world.counts.closed += 1;
}

/** Resolves to those that are known to be raised. */
function* raise(
  world: PartitionWorld,
  document: Document,
  names: readonly NodeName[],
): Steps<Set<NodeName>> {
  const raised = new Set<NodeName>();
  for (const name of names) {
    const isRaised = yield* world.ask('driver', name, (node) => passes(node, document));
    if (isRaised === true) raised.add(name);
  }
  return raised;
}

/** A history in words, with its seed. */
export function story(setup: PartitionSetup): string {
  const lines: string[] = [];
  const { stale } = simulate(setup, (line) => lines.push(line));
  return [JSON.stringify(setup), ...lines, ...stale.map((read) => `STALE: ${read}`)].join('\n');
}
