/** What is wrong on the command line is said, with exit code 2, before anything is connected. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { cli, cliHere, type Ended } from './cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'ringcache-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Nobody listens there. */
const NODE = ['--node', 'a=redis://127.0.0.1:1'];

describe('the process', () => {
  test('exits with the code, and says the same', async () => {
    const words = ['plan', '--weight', 'a=x', ...NODE];
    const expected: Ended = { ...(await cliHere(words)), signal: null };
    expect(await cli(words)).toEqual(expected);
    expect(expected.code).toBe(2);
  });
});

describe('help', () => {
  test('lists every command, and says all of one', async () => {
    const [all, one, same, family] = await Promise.all([
      cliHere(['help']),
      cliHere(['help', 'plan']),
      cliHere(['plan', '--help']),
      cliHere(['help', 'topology']),
    ]);
    expect(all).toMatchObject({ code: 0, stderr: '' });
    const names = ['ring', 'plan', 'explain', 'top', 'bench'];
    for (const name of names) expect(all.stdout).toMatch(new RegExp(`^  ${name} +\\w`, 'm'));
    const kinds = [
      'show',
      'add',
      'remove',
      'weight',
      'address',
      'change',
      'resume',
      'abort',
      'recover',
    ];
    for (const kind of kinds) {
      expect(all.stdout).toContain(`topology ${kind} `);
      expect(family.stdout).toContain(`topology ${kind} `);
    }
    expect(one.stdout).toMatch(/--weight ID=N +the weight/);
    expect(same).toEqual(one);
  });

  test('is what somebody gets who says nothing, and not as a success', async () => {
    const { code, stdout, stderr } = await cliHere([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('ringcache COMMAND [OPTIONS]');
  });

  test('--version is that of the package', async () => {
    const manifest: { version: string } = JSON.parse(
      readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
    );
    expect(await cliHere(['--version'])).toMatchObject({
      code: 0,
      stdout: `${manifest.version}\n`,
    });
  });
});

test('docs/cli.md names commands and options that there are', async () => {
  const text = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const places = /(?:^\$? ?ringcache |\| `|^## (?=[a-z]+:))(topology [a-z]+|(?!topology)[a-z]+)/gm;
  const names = new Set([...text.matchAll(places)].map(([, name = '']) => name));
  expect(names.size).toBeGreaterThanOrEqual(13);
  let helps = '';
  for (const name of names) {
    const { code, stdout } = await cliHere(['help', ...name.split(' ')]);
    expect({ name, code }).toEqual({ name, code: 0 });
    helps += stdout;
  }
  for (const [option] of text.matchAll(/--[a-z][a-z-]*/g)) expect(helps).toContain(`  ${option}`);
});

describe('refused with exit code 2', () => {
  test.each<[words: string[], why: string]>([
    [['blah'], "'blah' is no command; there are ring, plan, topology, explain, top, bench"],
    [['help', 'blah'], "'blah' is no command"],
    [['bl\x1b[2Jah'], "'bl\\x1b[2Jah' is no command"],
    [['--no-color', 'ring'], 'the command comes first'],
    [['topology'], 'topology: one of show, add,'],
    [['topology', 'blah'], "topology 'blah' is unknown; there are show, add,"],
    [['ring', '--blah'], "Unknown option '--blah'"],
    [['ring', '--node'], "Option '--node <value>' argument missing"],
    [['ring', '--json=yes'], "Option '--json' does not take an argument"],
    [
      ['ring'],
      'which nodes? Say --node redis://host:port or --config FILE, or set RINGCACHE_NODES',
    ],
    [
      ['ring', '--node', 'http://h'],
      "--node must be redis://host:port or id=redis://host:port, but is 'http://h'",
    ],
    [['ring', '--node', 'redis://a:1,redis://b:1'], '--node must be one node'],
    [['ring', '--node', 'a b=redis://h:1'], '--node must be one node'],
    [['ring', '--node', 'redis://h:99999'], 'nodes.0.url must be redis://'],
    [['ring', ...NODE, '--namespace', 'a{b}'], 'namespace must be'],
    [['ring', ...NODE, '--namespace', ''], '--namespace must not be empty'],
    [['ring', '--config', '/nowhere/x.json'], 'ENOENT'],
    [['explain', ...NODE], 'explain takes one key'],
    [['explain', 'a', 'b', ...NODE], 'explain takes one key'],
    [['top', 'x', ...NODE], "'x' is not expected here"],
    [['top', '--interval', '0', ...NODE], "--interval must be a number of 0.2 to 3600, but is '0'"],
    [
      ['top', '--interval', '1e1', ...NODE],
      "--interval must be a number of 0.2 to 3600, but is '1e1'",
    ],
    [['bench', '--keys', '0', ...NODE], '--keys must be a number of 1 to 100000'],
    [['plan', 'x', ...NODE], "'x' is not expected here"],
    [['plan', '--weight', 'a', ...NODE], "--weight must be id=number, but is 'a'"],
    [['plan', '--weight', 'a=101', ...NODE], 'a number of 0.1 to 100'],
    [['plan', '--weight', 'a=-1', ...NODE], 'a number of 0.1 to 100'],
    [
      ['topology', 'remove', 'a', ...NODE],
      'there is no terminal to ask at: say --yes to do it, or --dry-run',
    ],
    [['topology', 'resume', ...NODE], 'there is no terminal to ask at'],
    [['topology', 'abort', ...NODE], 'there is no terminal to ask at'],
    [['topology', 'recover', ...NODE], 'there is no terminal to ask at'],
    [['topology', 'add', 'b', '--yes', ...NODE], "'b' needs an address: b=redis://host:port"],
    [
      ['topology', 'add', 'b=redis://h:1', '--keys-per-second', '0', ...NODE],
      '--keys-per-second must be',
    ],
  ])('%j', async (words, why) => {
    const { code, stdout, stderr } = await cliHere(words);
    expect(stderr).toContain(why);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    // One sentence and where to look: no stack of calls.
    expect(stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2);
  });

  test('with --json the same as JSON, beside the sentence', async () => {
    const { code, stdout, stderr } = await cliHere(['plan', '--json', '--weight', 'a=x', ...NODE]);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toEqual({
      error: { code: 'RINGCACHE_USAGE', message: expect.stringContaining('--weight must be') },
    });
    expect(stderr).toContain('--weight must be');
  });
});

describe('a login on the command line', () => {
  test.each<string[]>([
    ['ring', '--node', 'redis://:hunter2@h:1'],
    ['ring', '--node', 'a=rediss://bob:hunter2@h:1'],
    ['ring', '--node', 'redis://hunter2@h:1'],
    ['ring', '--node', 'redis://:hun/ter2@h:1'],
    ['ring', '--node', 'redis://h:1?password=hunter2'],
    ['ring', '--node', 'unix://:hunter2@/run/redis.sock'],
    ['plan', '--add', 'b=redis://:hunter2@h:1', ...NODE],
    ['topology', 'add', 'b=redis://:hunter2@h:1', '--yes', ...NODE],
    ['topology', 'address', 'a=redis://:hunter2@h:1', '--yes', ...NODE],
  ])('is refused and not shown: %s %s %s', async (...words) => {
    const { code, stdout, stderr } = await cliHere(words);
    expect(code).toBe(2);
    expect(stdout + stderr).not.toMatch(/hunter2|ter2/);
    expect(stderr).toContain(
      'set RINGCACHE_PASSWORD (and RINGCACHE_USERNAME), or write the URL into the file of --config',
    );
  });

  test('a key may look like one', async () => {
    const { code, stdout } = await cliHere(['ring', '--offline', 'http://bob:x@h/', ...NODE]);
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('http://bob:x@h/'),
    });
  });
});

describe('which nodes', () => {
  const file = join(folder, 'cache.json');
  writeFileSync(
    file,
    JSON.stringify({
      nodes: ['redis://:hunter2@h:1', { id: 'b', url: 'redis://h:2', weight: 3 }],
      namespace: 'filed',
      ring: { points: 64 },
    }),
  );
  interface Ring {
    namespace: string;
    ring: { points: number };
    nodes: { id: string; url: string; weight: number }[];
  }
  const ring = async (words: string[], env: Record<string, string> = {}): Promise<Ring> => {
    const { code, stdout, stderr } = await cli(['ring', '--offline', '--json', ...words], { env });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout) as Ring;
  };

  test('a file, without its passwords in what is printed', async () => {
    const told = await ring(['--config', file]);
    expect(told).toMatchObject({ namespace: 'filed', ring: { points: 64 } });
    expect(told.nodes.map(({ id, url, weight }) => [id, url, weight])).toEqual([
      ['b', 'redis://h:2', 3],
      ['h:1', 'redis://h:1', 1],
    ]);
    expect(JSON.stringify(told)).not.toContain('hunter2');
  });

  test('the environment, and what is said goes before it', async () => {
    const env = { RINGCACHE_CONFIG: file, RINGCACHE_NODES: 'x=redis://h:3 y=redis://h:4' };
    expect((await ring([], env)).nodes.map(({ id }) => id)).toEqual(['x', 'y']);
    const said = await ring(['--node', 'z=redis://h:5', '--namespace', 'said'], env);
    expect(said).toMatchObject({ namespace: 'said', ring: { points: 64 }, nodes: [{ id: 'z' }] });
  });
});
