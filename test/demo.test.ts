// The demo is what a newcomer sees first: it runs to its end, keeps its
// promises, and would say so if it did not.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { phases } from '../demo/phases.ts';
import { type Basics, exitCodeOf, type Facts, isKept, judge } from '../demo/verdict.ts';

const MAIN = fileURLToPath(new URL('../demo/main.ts', import.meta.url));
// Node before 22.18 has to be told to run .ts files.
const FLAGS = process.features.typescript ? [] : ['--experimental-strip-types', '--no-warnings'];

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

async function runDemo(
  args: readonly string[],
  react: (output: string, pid: number) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, [...FLAGS, MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      react(output, child.pid!);
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

test('it runs through all phases, keeps every promise and ends with 0', {
  timeout: 40_000,
}, async () => {
  const { code, output } = await runDemo(['--quick']);
  expect(output).not.toContain('✗');
  for (const [i, { title }] of phases.entries()) {
    expect(output).toContain(`\n${i + 1}  ${title}\n`);
    expect(output).toMatch(new RegExp(`[✓?] ${title} .* of `));
  }
  expect(output.match(/✓ errors seen by callers +0 +0 of [1-9]/g)).toHaveLength(phases.length);
  expect(output).toMatch(/^ +\d+ s {2}[\d,]+ reads\/s .* errors 0 /m);
  expect(output).toMatch(/^(All|\d+ of) \d+ promises kept/m);
  // Nothing of a terminal where there is none.
  expect(output).not.toContain('\x1b');
  expect(code).toBe(0);
});

test('an interrupt ends it early and cleanly', { timeout: 30_000 }, async () => {
  let sent = false;
  const { code, output } = await runDemo(['--quick'], (text, pid) => {
    if (sent || !text.includes('cold start')) return;
    sent = true;
    process.kill(pid, 'SIGINT');
  });
  expect(output).toContain('Interrupted');
  expect(output).not.toContain('promises kept');
  expect(code).toBe(130);
});

test('an unknown flag is told, with the usage', async () => {
  const { code, output } = await runDemo(['--fast']);
  expect(output).toContain('usage:');
  expect(code).toBe(2);
});

const good: Basics = {
  requests: 1_000,
  errors: 0,
  firstError: undefined,
  staleReads: 0,
  lookedAfter: 10,
  loads: 50,
  extraLoads: 0,
  loadsOfAway: 40,
  excusedLoads: 0,
  worstMs: 60,
  worstWaitMs: 30,
  stallMs: 0,
  worstStallMs: 0,
};

const kill: Facts = {
  outage: {
    node: 'node-2',
    share: 0.33,
    owned: { of: 10_000, count: 3_310 },
    lost: 3_310,
    others: 0,
  },
  breaker: { node: 'node-2', opened: true, afterMs: 4 },
  database: { peak: 30, limit: 100 },
};

const change: Facts = {
  moved: {
    planned: 0.25,
    keys: { of: 10_000, count: 2_480 },
    others: 0,
    joins: true,
    node: 'node-4',
  },
  census: { held: 10_000, missing: 0 },
};

const repair: Facts = {
  stampede: { callers: 100, loads: 1 },
  hitRate: { share: 0.98, memory: 0.6, nodes: 0.38 },
  healing: { node: 'node-2', afterMs: 200, withinMs: 3_000 },
  reloaded: { node: 'node-2', keys: 99, of: 100 },
  unconfirmed: { deletes: 5, waiting: 0 },
};

function exitCode(basics: Basics, facts: Facts): 0 | 1 {
  const checks = judge(basics, facts);
  return exitCodeOf([{ title: 'a phase', seconds: 1, basics, checks }]);
}

test('what was kept is not called broken', () => {
  for (const facts of [{}, kill, change, repair]) expect(exitCode(good, facts)).toBe(0);
});

test('where this process stood still, what needs an answer in time is not judged', () => {
  const stalled = { ...good, stallMs: 100, worstStallMs: 100 };
  expect(exitCode({ ...stalled, worstWaitMs: 151, extraLoads: 1 }, {})).toBe(0);
  expect(exitCode({ ...stalled, errors: 1 }, {})).toBe(1);
  expect(exitCode({ ...stalled, staleReads: 1 }, {})).toBe(1);
  expect(exitCode(stalled, { moved: { ...change.moved!, others: 1 } })).toBe(1);
});

test('loads that a busy machine explains are said and not held against the cache', () => {
  const busy = { ...good, extraLoads: 3, excusedLoads: 3 };
  expect(exitCode(busy, {})).toBe(0);
  expect(judge(busy, {}).map(({ measured }) => measured)).toContainEqual(
    expect.stringContaining('3 more: machine too busy'),
  );
});

test.for<[what: string, basics: Partial<Basics>]>([
  ['an error', { errors: 1, firstError: 'Error: refused' }],
  ['no request at all', { requests: 0 }],
  ['a stale read', { staleReads: 1 }],
  ['an extra load', { extraLoads: 1 }],
  ['more extra loads than explained', { extraLoads: 4, excusedLoads: 3 }],
  ['a wait beyond the budget', { worstWaitMs: 151 }],
])('%s breaks a promise: ✗ and exit code 1', ([, basics]) => {
  const measured = { ...good, ...basics };
  expect(judge(measured, {}).filter(({ kept }) => !kept)).toHaveLength(1);
  expect(exitCode(measured, {})).toBe(1);
});

test.for<[what: string, facts: Facts]>([
  ['a key of another node lost', { outage: { ...kill.outage!, others: 1 } }],
  ['a key of the dead node found', { outage: { ...kill.outage!, lost: 3_309 } }],
  ["a share that is not the ring's", { outage: { ...kill.outage!, share: 0.36 } }],
  ['a breaker that stays closed', { breaker: { ...kill.breaker!, opened: false } }],
  ['a flooded database', { database: { peak: 101, limit: 100 } }],
  ['a second load in a stampede', { stampede: { callers: 100, loads: 2 } }],
  ['a low hit rate', { hitRate: { share: 0.9, memory: 0.5, nodes: 0.4 } }],
  [
    'a node that stays away',
    { healing: { ...repair.healing!, afterMs: Number.POSITIVE_INFINITY } },
  ],
  ['keys that do not come back', { reloaded: { node: 'node-2', keys: 50, of: 100 } }],
  ['a delete that was forgotten', { unconfirmed: { deletes: 5, waiting: 1 } }],
  ['a key that moved without need', { moved: { ...change.moved!, others: 1 } }],
  ['more keys moved than planned', { moved: { ...change.moved!, planned: 0.2 } }],
  ['more keys lost than not copied', { census: { held: 100, missing: 3 }, failedCopies: 2 }],
  ['a cached key lost', { census: { held: 10_000, missing: 1 } }],
])('%s breaks a promise: ✗ and exit code 1', ([, facts]) => {
  const checks = judge(good, facts);
  expect(checks.filter(({ kept }) => !kept)).toHaveLength(1);
  expect(isKept({ checks })).toBe(false);
  expect(exitCode(good, facts)).toBe(1);
});

test('a demo without a phase proves nothing', () => {
  expect(exitCodeOf([])).toBe(1);
});
