/** Which nodes grant locks: the first start, and what was lost since. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { GateAnswer } from '../../src/node/lock-node.ts';
import { Gates } from '../../src/topology/gates.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { SimulatedProcess, SimulatedServers, seat } from '../support/simulated-process.ts';
import { down, type Fleet, useFleet } from './fleet.ts';

const newFleet = useFleet();

const LONGEST_MS = 60_000;
/** Printed by fast-check with a counterexample; the same in every run. */
const SEED = 20_261_124;

/** What a process is answered about a node's gate, opening it if it may. */
function open(process: SimulatedProcess, id: string): Promise<GateAnswer> {
  return process.gates.open(process.node(id));
}

/** How a gate stands, looked at by hand. */
function gateOf(fleet: Pick<Fleet, 'server'>, id: string, of: SimulatedProcess): GateAnswer {
  const { profile, longestMs } = of.gates;
  return fleet.server(id).locks.knock({ profile, longestMs, claim: 'ask' });
}

const QUARANTINED = { kind: 'quarantined', remainingMs: LONGEST_MS };
const OPEN = { kind: 'open' };

describe('the first start', () => {
  test('of one process opens all nodes, those it does not ask for too', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    expect(await open(process, 'b')).toEqual(OPEN);
    for (const id of ['a', 'b', 'c']) expect(gateOf(fleet, id, process)).toEqual(OPEN);
  });

  test('asks once, however many want to know at once', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const answers = await Promise.all([1, 2, 3].map(() => open(process, 'a')));
    expect(answers).toEqual([OPEN, OPEN, OPEN]);
    const knocks = process.node('b').sent.filter((what) => what === 'knock');
    expect(knocks).toHaveLength(3); // asked, claimed as new, opened
  });

  test('of a process that dies after it has claimed the nodes as new is completed by the next', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const { profile, longestMs } = process.gates;
    for (const id of ['a', 'b']) {
      fleet.server(id).locks.knock({ profile, longestMs, claim: 'new' });
    }
    fleet.server('b').locks.knock({ profile, longestMs, claim: 'open' });
    expect(await open(process, 'a')).toEqual(OPEN);
  });

  test('does not open a node that could not be reached: it may have been in use', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c'], down('b'));
    expect(await open(process, 'a')).toEqual(OPEN);
    process.node('b').fault = 'none';
    await process.node('b').readmit();
    expect(await open(process, 'b')).toEqual(QUARANTINED);
  });

  test('opens none while half of the nodes are silent: they may know that it was emptied', async () => {
    const fleet = newFleet();
    const first = await fleet.start(['a', 'b']);
    expect(await open(first, 'a')).toEqual(OPEN);
    fleet.servers.get('a').locks.wipe();
    const fresh = await fleet.start(['a', 'b'], down('b'));
    expect(await open(fresh, 'a')).toEqual(QUARANTINED);
  });

  // Which step comes next is drawn: each request's effect and each answer.
  test('of several processes at once quarantines no node, whatever comes first', async () => {
    const starter = fc.record({
      nodes: fc.shuffledSubarray(['a', 'b', 'c'], { minLength: 1 }),
    });
    const starters = fc.array(starter, { minLength: 2, maxLength: 4 });
    const property = fc.asyncProperty(fc.scheduler(), starters, async (scheduler, drawn) => {
      const clock = new FakeClock(1_000);
      const servers = new SimulatedServers(clock);
      let isStarted = false;
      const answers = drawn.map(async ({ nodes }, i) => {
        const hop = (what: string): Promise<void> =>
          isStarted ? scheduler.schedule(Promise.resolve(), `${i}: ${what}`) : Promise.resolve();
        const seats = ['a', 'b', 'c'].map((id) => seat(id));
        const process = await SimulatedProcess.start({ clock, servers, seats, hop });
        await started.promise;
        // One after the other, as one who wants locks on each of them.
        const kinds: string[] = [];
        for (const id of nodes) kinds.push((await open(process, id)).kind);
        return kinds;
      });
      const started = Promise.withResolvers<void>();
      await clock.settle();
      isStarted = true;
      started.resolve();
      const all = Promise.all(answers);
      await scheduler.waitFor(all);
      expect(new Set((await all).flat())).toEqual(new Set(['open']));
    });
    await fc.assert(property, { numRuns: 1_000, seed: SEED });
  });
});

describe('a node that has lost its data', () => {
  test('is in quarantine for a process that has seen it open, though no other node knows', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a']);
    await open(process, 'a');
    fleet.server('a').locks.wipe();
    expect(await open(process, 'a')).toEqual(QUARANTINED);
    await fleet.clock.advance(LONGEST_MS - 1);
    expect(await open(process, 'a')).toEqual({ kind: 'quarantined', remainingMs: 1 });
    await fleet.clock.advance(1);
    expect(await open(process, 'a')).toEqual(OPEN);
  });

  test('is in quarantine for it even after another process has claimed it as new', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a']), await fleet.start(['a'])];
    await open(first, 'a');
    fleet.server('a').locks.wipe();
    const { profile, longestMs } = second.gates;
    await second.node('a').locks.knock({ profile, longestMs, claim: 'new' });
    expect(await open(first, 'a')).toEqual(QUARANTINED);
  });

  test('is in quarantine for a process that has granted there and never asked for its gate', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a']), await fleet.start(['a'])];
    await open(first, 'a');
    second.gates.sawOpen(second.node('a'));
    fleet.server('a').locks.wipe();
    expect(await open(second, 'a')).toEqual(QUARANTINED);
  });

  test('is in quarantine for a new process, if another node is in use', async () => {
    const fleet = newFleet();
    await open(await fleet.start(['a', 'b']), 'a');
    fleet.server('a').locks.wipe();
    expect(await open(await fleet.start(['a', 'b']), 'a')).toEqual(QUARANTINED);
  });

  test('is in quarantine for a new process, if another node is in quarantine itself', async () => {
    const fleet = newFleet();
    const first = await fleet.start(['a', 'b']);
    await open(first, 'a');
    fleet.server('a').locks.wipe();
    await open(first, 'a');
    fleet.server('b').locks.wipe();
    expect(await open(await fleet.start(['a', 'b']), 'b')).toEqual(QUARANTINED);
  });

  // It has seen no gate but that of b, so it knows nothing of a; that locks are in use, it knows.
  test('with all the others is in quarantine for a process that has seen one of them open', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    await open(first, 'a');
    expect(await open(second, 'b')).toEqual(OPEN);
    for (const id of ['a', 'b']) fleet.server(id).locks.wipe();
    expect(await open(second, 'a')).toEqual(QUARANTINED);
    expect(await open(second, 'b')).toEqual(QUARANTINED);
  });

  test('does not put the others in quarantine', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    await open(process, 'a');
    fleet.server('a').locks.wipe();
    await open(process, 'a');
    expect(await open(process, 'b')).toEqual(OPEN);
  });

  test('is told to the listener, with what is left', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a']);
    const told: unknown[] = [];
    const gates = new Gates(
      { kind: 'ring', longestMs: LONGEST_MS },
      () => process.topology.snapshot.lockNodes(),
      {
        opened: ({ id }) => told.push(`${id} opened`),
        quarantined: ({ id }, ms) => told.push(`${id} quarantined for ${ms}`),
      },
    );
    await gates.open(process.node('a'));
    await gates.open(process.node('a'));
    fleet.server('a').locks.wipe();
    await gates.open(process.node('a'));
    expect(told).toEqual(['a opened', `a quarantined for ${LONGEST_MS}`]);
  });
});

test('a server that was restarted with its data kept is in quarantine, whoever asks', async () => {
  const fleet = newFleet();
  const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
  await open(first, 'a');
  fleet.server('a').run++;
  for (const process of [second, first]) await process.node('a').readmit();
  expect(await open(second, 'a')).toEqual(QUARANTINED);
  expect((await open(first, 'a')).kind).toBe('quarantined');
  expect(await open(first, 'b')).toEqual(OPEN);
});

test('who shares locks in another way is told so, and changes nothing', async () => {
  const fleet = newFleet();
  const process = await fleet.start(['a', 'b']);
  await open(process, 'a');
  const other = new Gates(
    { kind: 'ring', longestMs: 5_000 },
    () => process.topology.snapshot.lockNodes(),
    { opened: () => undefined, quarantined: () => undefined },
  );
  const conflict = { kind: 'conflict', profile: `ring-${LONGEST_MS}` };
  expect(await other.open(process.node('a'))).toEqual(conflict);
  expect(await open(process, 'a')).toEqual(OPEN);
});

describe('a node that joins', () => {
  const add = (process: SimulatedProcess, id: string) =>
    process.changer.change({ add: [seat(id)], remove: [] });

  test('is open at once where locks are in use, for every process', async () => {
    const fleet = newFleet();
    const [first, second] = [await fleet.start(['a', 'b']), await fleet.start(['a', 'b'])];
    await open(second, 'a');
    await add(first, 'c');
    expect(gateOf(fleet, 'c', first)).toEqual(OPEN);
    await second.topology.refresh(second.topology.snapshot);
    await second.topology.connecting(second.node('c'));
    expect(await open(second, 'c')).toEqual(OPEN);
  });

  test('is left as it is where nobody has used locks', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    await add(process, 'c');
    expect(gateOf(fleet, 'c', process)).toEqual({ kind: 'missing' });
    expect(await open(process, 'c')).toEqual(OPEN);
  });

  test('is opened as the others use it, by a process that has not used locks itself', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b']);
    const profile = 'ring-5000';
    for (const claim of ['new', 'open'] as const) {
      fleet.server('a').locks.knock({ profile, longestMs: 5_000, claim });
    }
    await add(process, 'c');
    const asked = { profile, longestMs: 5_000, claim: 'ask' } as const;
    expect(fleet.server('c').locks.knock(asked)).toEqual(OPEN);
  });

  test('and does not answer when it is welcomed, joins all the same, and opens when the time is over', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b'], {
      seated: (node) => {
        if (node.id !== 'c') return;
        const { knock } = node.locks;
        let isFirst = true;
        node.locks.knock = (ask) => {
          if (isFirst) node.fault = 'request-lost';
          isFirst = false;
          const answer = knock(ask);
          void answer.catch(() => {
            node.fault = 'none';
          });
          return answer;
        };
      },
    });
    await open(process, 'a');
    const adding = add(process, 'c');
    await fleet.clock.advance(1_000);
    await adding;
    expect(await open(process, 'c')).toEqual(QUARANTINED);
    await fleet.clock.advance(LONGEST_MS);
    expect(await open(process, 'c')).toEqual(OPEN);
  });

  // It left a moment ago, so what it granted counts still; meanwhile it has lost it.
  test('again, and has left a moment ago, is not welcomed as if it had granted nothing', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    await open(process, 'c');
    await (await process.changer.change({ add: [], remove: ['c'] })).done;
    expect([...process.topology.snapshot.leaving.keys()]).toEqual(['c']);
    fleet.server('c').locks.wipe();
    await add(process, 'c');
    expect(gateOf(fleet, 'c', process)).toEqual({ kind: 'missing' });
    expect(await open(process, 'c')).toEqual(QUARANTINED);
  });

  test('again after its locks have run out is welcomed as any other', async () => {
    const fleet = newFleet();
    const process = await fleet.start(['a', 'b', 'c']);
    await open(process, 'c');
    await (await process.changer.change({ add: [], remove: ['c'] })).done;
    await fleet.clock.advance(LONGEST_MS + 5_000);
    expect(process.topology.snapshot.leaving.size).toBe(0);
    fleet.server('c').restart();
    await add(process, 'c');
    expect(await open(process, 'c')).toEqual(OPEN);
  });
});
