/** Whether a server may grant locks: every state of its gate against every claim, on a real server. */
import { describe, expect, test } from 'vitest';
import type { Claim, GateAnswer } from '../../src/node/lock-node.ts';
import { eventually } from '../support/eventually.ts';
import { useNodes } from '../support/nodes.ts';
import { askOf, LONGEST_MS, PROFILE, useLocks } from './lock-subject.ts';

const nodes = useNodes(1);
const bench = useLocks(nodes);

const CLAIMS = ['ask', 'new', 'open', 'joined', 'wiped'] as const satisfies Claim[];

const knock = (claim: Claim, longestMs = LONGEST_MS, profile = PROFILE): Promise<GateAnswer> =>
  bench.locks.knock({ profile, longestMs, claim });

const gate = () => bench.text('GET', 'rc:k:g');

async function run(): Promise<string> {
  return (await bench.subject.node.greet()).runId;
}

/** What stands there after a quarantine that begins now. */
async function expectQuarantine(answer: GateAnswer): Promise<void> {
  expect(answer).toEqual({ kind: 'quarantined', remainingMs: LONGEST_MS });
  const [until = '', ...rest] = (await gate())?.split(' ') ?? [];
  expect(rest).toEqual([await run(), PROFILE]);
  expect(Number(until)).toBeGreaterThan(Date.now() + LONGEST_MS - 5_000);
  expect(Number(until)).toBeLessThanOrEqual(Date.now() + LONGEST_MS);
}

describe('a gate', () => {
  test('that is gone is missing, new, opened or in quarantine, by what is claimed', async () => {
    const after: Record<Claim, string | undefined> = {
      ask: 'missing',
      new: 'new',
      joined: 'open',
      open: 'quarantined',
      wiped: 'quarantined',
    };
    for (const claim of CLAIMS) {
      await bench.redis('DEL', 'rc:k:g');
      const answer = await knock(claim);
      expect(answer.kind).toBe(after[claim]);
      if (answer.kind === 'missing') expect(await gate()).toBeUndefined();
      else if (answer.kind === 'quarantined') await expectQuarantine(answer);
      else expect(await gate()).toBe(`${answer.kind} ${await run()} ${PROFILE}`);
    }
  });

  test('that is new stays so until it is opened, or somebody knows of grants', async () => {
    const stands = `new ${await run()} ${PROFILE}`;
    for (const claim of ['ask', 'new', 'joined'] as const) {
      await bench.redis('SET', 'rc:k:g', stands);
      expect(await knock(claim)).toEqual({ kind: 'new' });
      expect(await gate()).toBe(stands);
    }
    expect(await knock('open')).toEqual({ kind: 'open' });
    expect(await gate()).toBe(`open ${await run()} ${PROFILE}`);
    await bench.redis('SET', 'rc:k:g', stands);
    await expectQuarantine(await knock('wiped'));
  });

  test('that is open stays so, whatever is claimed', async () => {
    const stands = await gate();
    expect(stands).toBe(`open ${await run()} ${PROFILE}`);
    for (const claim of CLAIMS) {
      expect(await knock(claim)).toEqual({ kind: 'open' });
      expect(await gate()).toBe(stands);
    }
  });

  test.each(CLAIMS)(
    'in quarantine says what is left, and does not begin anew (%s)',
    async (claim) => {
      const stands = `${Date.now() + 5_000} ${await run()} ${PROFILE}`;
      await bench.redis('SET', 'rc:k:g', stands);
      const answer = await knock(claim);
      expect(answer.kind).toBe('quarantined');
      if (answer.kind === 'quarantined') {
        expect(answer.remainingMs).toBeGreaterThan(4_500);
        expect(answer.remainingMs).toBeLessThanOrEqual(5_000);
      }
      expect(await gate()).toBe(stands);
      expect(await bench.locks.acquire('n', askOf('t'))).toEqual({ kind: 'shut' });
    },
  );

  test.each(CLAIMS)(
    "opens when its quarantine is over by the server's clock (%s)",
    async (claim) => {
      await bench.redis('SET', 'rc:k:g', `${Date.now() - 1} ${await run()} ${PROFILE}`);
      expect(await knock(claim)).toEqual({ kind: 'open' });
      expect((await bench.locks.acquire('n', askOf('t'))).kind).toBe('granted');
    },
  );

  test('is in quarantine for as long as was said, and opens by itself', async () => {
    await bench.redis('DEL', 'rc:k:g');
    expect(await knock('wiped', 150.5)).toEqual({ kind: 'quarantined', remainingMs: 151 });
    const begunAt = performance.now();
    expect((await knock('ask', 150)).kind).toBe('quarantined');
    await eventually(async () => (await knock('ask', 150)).kind === 'open');
    expect(performance.now() - begunAt).toBeGreaterThan(140);
  });

  test.each(CLAIMS)('of another run is in quarantine from now on (%s)', async (claim) => {
    for (const state of ['open', 'new', `${Date.now() - 1}`, `${Date.now() + 1_000}`]) {
      await bench.redis('SET', 'rc:k:g', `${state} another ${PROFILE}`);
      await expectQuarantine(await knock(claim));
    }
  });

  test.each(CLAIMS)(
    'that others use in another way is a conflict, and stays (%s)',
    async (claim) => {
      for (const state of ['open', 'new', `${Date.now() + 5_000}`, `${Date.now() - 5}`]) {
        const stands = `${state} ${await run()} quorum-1000`;
        await bench.redis('SET', 'rc:k:g', stands);
        expect(await knock(claim)).toEqual({ kind: 'conflict', profile: 'quorum-1000' });
        expect(await gate()).toBe(stands);
      }
    },
  );

  // What was granted before the restart counts in any case; what it was granted as, no longer.
  test('that was used in another way before a restart is taken over, after the quarantine', async () => {
    await bench.redis('SET', 'rc:k:g', 'open another quorum-1000');
    await expectQuarantine(await knock('ask'));
  });
});

test('a server that was restarted with its data kept grants nothing of it', async () => {
  const before = await run();
  await bench.locks.acquire('n', askOf('t'));
  const kept = await Promise.all(
    ['rc:k:g', 'rc:k:l:n', 'rc:k:n:n'].map(async (key) => [
      key,
      (await bench.text('GET', key)) ?? '',
    ]),
  );
  await nodes[0]!.kill();
  await nodes[0]!.restart();
  for (const [key = '', value = ''] of kept) await bench.redis('SET', key, value);
  await eventually(() => bench.subject.up);
  expect(await run()).not.toBe(before);
  expect(await bench.locks.acquire('n', askOf('t'))).toEqual({ kind: 'shut' });
  expect(await bench.locks.acquire('other', askOf('t'))).toEqual({ kind: 'shut' });
  await expectQuarantine(await knock('ask'));
});
