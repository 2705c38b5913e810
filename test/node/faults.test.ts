/** What fails between us and a server: what the caller sees, how long it waits, how it comes back. */
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Failures } from '../../src/node/failure.ts';
import { eventually } from '../support/eventually.ts';
import { useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { FENCE, type ReadResult, type Subject, timed, useSubjects } from './subject.ts';

const nodes = useNodes(1);
const start = useSubjects();
const TIMEOUT_MS = 100;
// What a loaded machine may add; the budget itself is tested on a fake clock.
const SLACK_MS = 50;

let proxy: FaultProxy;
let subject: Subject;

const QUICK = { breaker: { resetTimeoutMs: 100 } };

beforeEach(async () => {
  proxy = await FaultProxy.start(nodes[0]!.port);
  subject = await start({ id: 'n', url: proxy.url }, QUICK);
  await subject.set('k', 'kept');
});
afterEach(async () => {
  await subject.node.close();
  await proxy.close();
});

const reasons = (results: ReadResult[]): string[] =>
  results.map((result) => ('error' in result ? result.error.reason : 'found'));

interface Case {
  readonly name: string;
  /** Brings the fault about while requests are under way. */
  fault(): unknown;
  heal(): unknown;
  /** What those under way may see. */
  readonly seen: RegExp;
}

const cases: Case[] = [
  {
    name: 'refused',
    fault: () => proxy.refuse(),
    heal: () => proxy.accept(),
    seen: /connection/,
  },
  {
    name: 'killed',
    fault: () => nodes[0]!.kill(),
    heal: () => nodes[0]!.restart(),
    seen: /connection/,
  },
  {
    name: 'frozen (SIGSTOP)',
    fault: () => nodes[0]!.pause(),
    heal: () => nodes[0]!.resume(),
    seen: /timeout/,
  },
  {
    name: 'behind a blackhole',
    fault: () => proxy.set({ kind: 'blackhole' }),
    heal: () => proxy.set({ kind: 'none' }),
    seen: /timeout/,
  },
  {
    name: 'not answering',
    fault: () => proxy.set({ kind: 'drop' }),
    heal: () => proxy.set({ kind: 'none' }),
    seen: /timeout/,
  },
  { name: 'reset', fault: () => proxy.reset(), heal: () => undefined, seen: /connection/ },
  {
    name: 'cut in the middle of an answer',
    fault: () => proxy.set({ kind: 'half', bytes: 1 }),
    heal: () => undefined,
    seen: /connection/,
  },
  {
    name: 'garbled',
    fault: () => proxy.set({ kind: 'garbage' }),
    heal: () => undefined,
    seen: /connection/,
  },
  {
    name: 'behind something that accepts and closes',
    fault: () => {
      proxy.set({ kind: 'slam' });
      proxy.reset();
    },
    heal: () => proxy.set({ kind: 'none' }),
    seen: /connection/,
  },
];

describe.each(cases)('a node that is $name', ({ fault, heal, seen }) => {
  test('fails what is under way within the budget, then costs nothing, and comes back', async () => {
    proxy.set({ kind: 'hold' });
    const underWay = [subject.read('k', 'j'), subject.read('l')];
    await new Promise((resolve) => setImmediate(resolve));
    proxy.set({ kind: 'none' });
    await Promise.all(underWay);

    const faulty = fault();
    const sent = await Promise.all([
      timed(subject.read('k', 'j')),
      timed(subject.node.remove('x', FENCE)),
    ]);
    await faulty;
    const [read, remove] = sent;
    expect(reasons(read.value ?? []).join(' ')).toMatch(new RegExp(`${seen.source}|breaker-open`));
    expect(remove.error?.reason).toMatch(new RegExp(`${seen.source}|breaker-open`));
    for (const { ms } of sent) expect(ms).toBeLessThan(TIMEOUT_MS + SLACK_MS);

    // Open by then, or as soon as the silence has lasted; nobody waits any more.
    await eventually(() => subject.node.stats().opened > 0);
    if (!subject.up) {
      const turnedAway = await timed(subject.read('k'));
      if (turnedAway.value?.[0] !== undefined && 'error' in turnedAway.value[0]) {
        expect(turnedAway.value[0].error.reason).toBe('breaker-open');
        expect(turnedAway.ms).toBeLessThan(SLACK_MS);
      }
    }

    await heal();
    await eventually(() => subject.up);
    expect(reasons(await subject.read('k'))).toEqual(['found']);
    expect(await subject.node.remove('k', FENCE)).toMatchObject({ kind: 'removed' });
    expect(subject.node.stats().inFlight).toBe(0);
    expect(subject.states.slice(0, 3)).toEqual(['up', 'down', 'up']);
  });
});

test('a connection that was idle and then hangs is cut and made anew, with few requests on it', async () => {
  await new Promise((resolve) => setTimeout(resolve, 250)); // idle: nothing watches
  const { accepted } = proxy;
  proxy.set({ kind: 'drop' });
  const start = performance.now();
  expect(reasons(await subject.read('k'))).toEqual(['timeout']);
  await eventually(() => proxy.accepted > accepted);
  expect(performance.now() - start).toBeLessThan(1_000);
});

test('the loss of a connection that stood gives no hint at TLS', async () => {
  proxy.set({ kind: 'slam' });
  proxy.reset();
  await eventually(() => !subject.up);
  await expect(subject.set('k', 1)).rejects.toThrow(/breaker-open/);
  await expect(subject.set('k', 1)).rejects.not.toThrow(/TLS/);
});

test('texts of the client and the server are freed of passwords, however they came into them', () => {
  const failures = new Failures('n', ['p@ss', 'p@ss-and-more']);
  const raw = Object.assign(new Error('AUTH p@ss-and-more failed, not p@ss'), {
    code: 'ECODE',
    command: { name: 'auth', args: ['p@ss'] },
  });
  const error = failures.from(raw, 'connection');
  expect(error.message).toContain('AUTH *** failed, not ***');
  expect(error.cause).toMatchObject({ code: 'ECODE' });
  expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('p@ss');
});

describe('a slow node', () => {
  test('opens the breaker by its timeouts; late answers reach nobody and change nothing', async () => {
    proxy.set({ kind: 'latency', ms: 150 });
    for (let i = 0; subject.up; i += 1) {
      expect(i).toBeLessThan(10);
      await subject.read('k');
    }
    const { timeouts, opened } = subject.node.stats();
    expect(timeouts).toBeGreaterThanOrEqual(4);
    expect(opened).toBe(1);
    // Half-open again and again: the admission misses its budget, too.
    const greetings = subject.greetings;
    await eventually(() => subject.node.stats().inFlight === 0);
    expect(subject.up).toBe(false);
    expect(subject.greetings).toBe(greetings);
    proxy.set({ kind: 'none' });
    await eventually(() => subject.up);
    expect(await subject.readValue('k')).toBe('kept');
  });

  test('answers that come after the event loop was blocked for longer than budget and silence are good', async () => {
    // Not through the proxy, which is blocked with us.
    const direct = await start(nodes[0]!);
    const reads = direct.read('k', 'j');
    const write = direct.set('x', 1);
    await new Promise((resolve) => setImmediate(resolve));
    const end = performance.now() + 450;
    while (performance.now() < end);
    expect(reasons(await reads)).toEqual(['found', 'found']);
    expect(await write).toEqual({ kind: 'stored' });
    await direct.read('k');
    expect(direct.node.stats()).toMatchObject({ timeouts: 0, opened: 0 });
    expect(direct.up).toBe(true);
  });

  test('a timed-out request counts as in flight until it is answered, beyond the limit nothing is sent', async () => {
    const limited = await start({ id: 'n', url: proxy.url }, { tuning: { maxInFlight: 3 } });
    proxy.set({ kind: 'hold' });
    const first = [limited.lease('a', 't'), limited.lease('b', 't'), limited.lease('c', 't')];
    const over = await timed(limited.lease('d', 't'));
    expect(over.error?.reason).toBe('overloaded');
    expect(over.ms).toBeLessThan(SLACK_MS);
    for (const one of first) await expect(one).rejects.toMatchObject({ reason: 'timeout' });
    expect(limited.node.stats().inFlight).toBe(3);
    expect(reasons(await limited.read('k'))).toEqual(['overloaded']);
    expect(limited.up).toBe(true); // overload is our own doing, one timeout too few
    proxy.set({ kind: 'none' });
    await eventually(() => limited.node.stats().inFlight === 0);
    expect(await limited.readValue('k')).toBe('kept');
  });
});

test('nothing that failed shows a password: not the message, the cause, the node, or its JSON', async () => {
  const secret = 'p@ss/wörd';
  const url = `redis://user:${encodeURIComponent(secret)}@127.0.0.1:${proxy.port}`;
  const place = { id: 'n', url, redis: { sentinelPassword: 'other-secret' } };
  const told = await start(place); // WRONGPASS: the user does not exist
  proxy.set({ kind: 'garbage' });
  const failed = await timed(told.node.remove('k', FENCE));
  expect(told.troubles.length).toBeGreaterThan(0);
  for (const shown of [...told.troubles, failed.error, told.node, told.node.stats()]) {
    const text =
      inspect(shown, { depth: 20, showHidden: true }) + JSON.stringify(shown) + String(shown);
    expect(text).not.toMatch(/p@ss|p%40ss|w%C3%B6rd|wörd|other-secret/);
  }
});

test('no cause carries the command: neither key nor value', async () => {
  proxy.set({ kind: 'hold' });
  const set = timed(subject.set('secret-key', 'secret-value'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  proxy.reset();
  const { error } = await set;
  expect(error).toMatchObject({ reason: 'connection', cause: expect.any(Error) });
  expect(inspect(error, { depth: 20, showHidden: true })).not.toMatch(/secret/);
});

test('reconnecting for a while adds no listener and rejects nothing unheard', async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => {
    unhandled.push(error);
  };
  process.on('unhandledRejection', note);
  const warned: unknown[] = [];
  process.on('warning', (warning) => warned.push(warning));
  for (let i = 0; i < 15; i += 1) {
    proxy.reset();
    void subject.read('k', 'j');
    void subject.set('k', i).catch(() => undefined);
    await eventually(() => subject.up);
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
  expect(warned).toEqual([]);
});
