/** What a node goes through before it is used, and what happens when it is found wanting. */
import { beforeEach, describe, expect, test } from 'vitest';
import { fenceOf } from '../../src/node/fence.ts';
import type { Admission, Greeting } from '../../src/node/node.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { FaultProxy } from '../support/proxy.ts';
import { EPOCH, FENCE, useSubjects } from './subject.ts';

const nodes = useNodes(1);
const start = useSubjects();
const redis = (...words: string[]): Promise<string> => command(nodes[0]!, ...words);
const install = (fence = FENCE, document = 'doc'): Admission => ({
  kind: 'install',
  fence,
  document,
});
const QUICK = { resetTimeoutMs: 40 };

beforeEach(async () => {
  await redis('FLUSHALL');
});

describe('an admission', () => {
  test('shows what the node has, installs what is decided, and tells the first state', async () => {
    const greetings: Greeting[] = [];
    await redis('SET', 'rc:e', fenceOf(3, '00000000'));
    await redis('SET', 'rc:t', 'old document');
    const subject = await start(nodes[0]!, {
      admit: (id, greeting) => {
        expect(id).toBe(nodes[0]!.id);
        greetings.push(greeting);
        return Promise.resolve(install());
      },
    });
    const runId = /run_id:(\w+)/.exec(await redis('INFO', 'server'))?.[1];
    const askedAt = expect.any(Number);
    const before = {
      servedRun: undefined,
      fence: fenceOf(3, '00000000'),
      document: 'old document',
    };
    expect(greetings).toEqual([{ askedAt, runId, ...before }]);
    const now = { servedRun: runId, fence: FENCE, document: 'doc' };
    expect(await subject.node.greet()).toEqual({ askedAt, runId, ...now });
    expect(subject.states).toEqual(['up']);
  });

  test('that finds the node changed meanwhile is made again, with what it has now', async () => {
    const seen: (string | undefined)[] = [];
    const later = fenceOf(EPOCH + 1, '00000000');
    const subject = await start(nodes[0]!, {
      admit: async (_, greeting) => {
        seen.push(greeting.fence);
        // Another process is faster, once.
        if (seen.length === 1) await redis('SET', 'rc:e', later);
        return install(greeting.fence ?? FENCE);
      },
    });
    expect(seen).toEqual([undefined, later]);
    expect(subject.up).toBe(true);
  });

  test('is given up after three rounds, and made again later', async () => {
    let rounds = 0;
    const subject = await start(nodes[0]!, {
      breaker: QUICK,
      admit: async () => {
        rounds += 1;
        await redis('SET', 'rc:e', fenceOf(EPOCH + 1, '00000000'));
        return install(rounds > 3 ? fenceOf(EPOCH + 2, '00000000') : FENCE);
      },
    });
    expect(rounds).toBe(3);
    expect(subject.node.state().state).toBe('down');
    await eventually(() => subject.up);
    expect(rounds).toBe(4);
  });

  test('that is rejected leaves the node down and untouched, told once, until it is accepted', async () => {
    let accept = false;
    const subject = await start(nodes[0]!, {
      breaker: QUICK,
      admit: () => (accept ? install() : { kind: 'reject', reason: new Error('not one of us') }),
    });
    await eventually(() => subject.greetings >= 3);
    expect(subject.troubles.map(String)).toEqual(['Error: not one of us']);
    expect(await redis('KEYS', '*')).toBe('*0\r\n');
    expect(subject.node.state().state).toBe('down');
    accept = true;
    await eventually(() => subject.up);
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('no decision');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no decision'))],
  ])('whose decision %s leaves it down, told once', async (_, admit) => {
    const subject = await start(nodes[0]!, { breaker: QUICK, admit });
    await eventually(() => subject.greetings >= 3);
    expect(subject.up).toBe(false);
    expect(subject.troubles.map(String)).toEqual(['Error: no decision']);
  });

  test('greets anew when another server took the place of the first during the decision', async () => {
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    const runIds: string[] = [];
    const fences: (string | undefined)[] = [];
    const first = Promise.withResolvers<void>();
    const decided = Promise.withResolvers<void>();
    const started = start(
      { id: 'n', url: proxy.url },
      {
        admit: async (_, greeting) => {
          runIds.push(greeting.runId);
          fences.push(greeting.fence);
          if (runIds.length === 1) {
            first.resolve();
            await decided.promise;
          }
          return install();
        },
      },
    );
    await first.promise;
    await nodes[0]!.restart();
    const before = proxy.accepted;
    await eventually(() => proxy.accepted > before || proxy.connections > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await redis('EXISTS', 'rc:e')).toBe(':0\r\n');
    decided.resolve();
    const subject = await started;
    await eventually(() => subject.up);
    expect(runIds).toHaveLength(2);
    expect(runIds[0]).not.toBe(runIds[1]);
    // The decision about the first was not installed on the second.
    expect(fences).toEqual([undefined, undefined]);
  });
});

test('a node that is being tried (half-open) is not asked by callers, who wait for nothing', async () => {
  const decision = Promise.withResolvers<Admission>();
  let asked = 0;
  const subject = await start(nodes[0]!, {
    breaker: QUICK,
    admit: () => {
      asked += 1;
      return asked === 1 ? { kind: 'reject', reason: new Error('not yet') } : decision.promise;
    },
  });
  await eventually(() => subject.node.state().breaker === 'halfOpen');
  expect(subject.node.state().state).toBe('down');
  expect(await subject.read('k')).toMatchObject([{ error: { reason: 'breaker-open' } }]);
  expect(subject.node.state().breaker).toBe('halfOpen');
  decision.resolve(install());
  await eventually(() => subject.up);
});

describe('a node without an epoch', () => {
  test.each([
    ['emptied by FLUSHALL', () => redis('FLUSHALL')],
    ['that evicted it', () => redis('DEL', 'rc:e')],
  ])('%s answers unknown until it is admitted anew', async (_, lose) => {
    const subject = await start(nodes[0]!);
    await lose();
    expect(await subject.set('k', 1)).toEqual({ kind: 'unknown' });
    expect(await subject.read('k')).toMatchObject([{ epoch: -1 }]);
    const refused = subject.node.readmit().then(() => subject.up);
    expect(subject.up).toBe(false);
    await expect(subject.set('k', 1)).rejects.toMatchObject({ reason: 'breaker-open' });
    expect(await refused).toBe(true);
    expect(await subject.set('k', 1)).toEqual({ kind: 'stored' });
  });

  test('is admitted once for any number who ask for it at once', async () => {
    const subject = await start(nodes[0]!);
    await redis('FLUSHALL');
    await Promise.all(Array.from({ length: 50 }, () => subject.node.readmit()));
    expect(subject.up).toBe(true);
    expect(subject.greetings).toBe(2);
  });

  test('after a restart is admitted as a new server, before anything is asked of it', async () => {
    const runIds: string[] = [];
    const subject = await start(nodes[0]!, {
      admit: (_, greeting) => {
        runIds.push(greeting.runId);
        return install();
      },
    });
    await nodes[0]!.restart();
    await eventually(() => subject.up && runIds.length === 2);
    expect(new Set(runIds).size).toBe(2);
    expect(await subject.set('k', 1)).toEqual({ kind: 'stored' });
  });

  test('readmit of a node that is away resolves, and of one that comes back is not needed', async () => {
    const subject = await start(nodes[0]!);
    await nodes[0]!.kill();
    await eventually(() => !subject.up);
    await subject.node.readmit();
    expect(subject.up).toBe(false);
    await nodes[0]!.restart();
    await eventually(() => subject.up);
  });
});

describe('deletes that a node missed', () => {
  test('are done before anything is read from it again', async () => {
    await using proxy = await FaultProxy.start(nodes[0]!.port);
    const subject = await start({ id: 'n', url: proxy.url });
    for (let i = 0; i < 1200; i += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, j) => subject.set(`${i + j}`, 'old')));
    }
    await subject.set('other', 'kept');
    await subject.lease('leased', 'token');
    await proxy.refuse();
    await eventually(() => !subject.up);
    for (let i = 0; i < 1200; i += 1) subject.node.removeLater(`${i}`, 60_000);
    subject.node.removeLater('leased', 60_000);
    expect(subject.node.stats().unconfirmed).toBe(1201);
    await proxy.accept();
    await eventually(() => subject.up);
    // Up means done: no waiting here.
    expect(subject.node.stats().unconfirmed).toBe(0);
    expect(subject.confirmed).toHaveLength(1201);
    const keys = Array.from({ length: 1200 }, (_, i) => `${i}`);
    const read = await subject.read(...keys, 'other');
    expect(read.slice(0, -1).every((one) => 'stored' in one && one.stored === undefined)).toBe(
      true,
    );
    expect(read.at(-1)).toMatchObject({ stored: { value: 'kept' } });
    expect(await subject.fill('leased', 'token', 1)).toEqual({ kind: 'lost' });
  });

  test('of a node in use are tried at once', async () => {
    const subject = await start(nodes[0]!);
    await subject.set('k', 1);
    subject.node.removeLater('k', 60_000);
    await eventually(() => subject.confirmed.length === 1);
    expect(await subject.readValue('k')).toBeUndefined();
  });
});
