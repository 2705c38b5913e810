/** What is only seen at a terminal: the view that is redrawn, the question, colours, widths. */
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { seats, useCaches } from '../cache/caches.ts';
import { useNodes } from '../support/nodes.ts';
import { cliJson, hasTerminal, startAtTerminal } from './cli.ts';

const nodes = useNodes(3);
const caches = useCaches();
const fleet = (): string[] => ['--node', nodes[0]!.url, '--namespace', caches.namespace];
const open = () => caches.open({ nodes: seats(nodes) });

const ESC = '\x1b';
const HOME = `${ESC}\\[H`;
const ENTERED = '\x1b[?1049h\x1b[?25l';
const LEFT = '\x1b[?25h\x1b[?1049l';

describe.skipIf(!hasTerminal)('at a terminal', () => {
  test.each([
    ['q', 'q'],
    ['Ctrl-C', '\x03'],
  ])('top is redrawn in place, and %s leaves it as it was', async (_, key) => {
    await open();
    const running = startAtTerminal(['top', '--interval', '0.2', ...fleet()], { columns: 90 });
    await running.has(new RegExp(`(?:${HOME}[^]*){3}`));
    running.type(key);
    const { code, stdout } = await running.ended;
    expect(code).toBe(0);
    expect(stdout.indexOf(ENTERED)).toBe(0);
    expect(stdout.endsWith(LEFT)).toBe(true);
    expect(stdout.split(ENTERED)).toHaveLength(2);
    // What is typed is not seen in the middle of it.
    expect(stdout).not.toContain('^C');
    const views = stdout.slice(ENTERED.length, -LEFT.length).split('\x1b[H').slice(1);
    for (const view of views) {
      expect(view).toContain('\x1b[32mup\x1b[39m');
      for (const line of view.split('\r\n')) expect(widthOf(line)).toBeLessThanOrEqual(90);
    }
  });

  test('a top that is ended by SIGTERM leaves it as it was, too', async () => {
    await open();
    const running = startAtTerminal(['top', ...fleet()], { tellsPid: true });
    await running.has(new RegExp(HOME));
    process.kill(Number(/^pid (\d+)/.exec(running.stdout)?.[1]), 'SIGTERM');
    const { code, stdout } = await running.ended;
    expect(code).toBe(0);
    expect(stdout.endsWith(LEFT)).toBe(true);
  });

  test('top has all that matters on 80 columns', async () => {
    await open();
    const running = startAtTerminal(['top', '--no-color', ...fleet()], { columns: 80 });
    await running.has(/all +3 up/);
    running.type('q');
    const { stdout } = await running.ended;
    const titles = stripVTControlCharacters(stdout).split('\r\n')[2];
    expect(titles?.split(/ +/)).toEqual([
      'node',
      'state',
      'breaker',
      'share',
      'memory',
      'keys',
      'ops/s',
      'hits',
      'ping',
    ]);
  });

  test('a narrow one loses columns, and no line is longer than it', async () => {
    await open();
    const { stdout } = await startAtTerminal(['ring', ...fleet()], { columns: 44 }).ended;
    expect(stdout).not.toContain('redis://');
    expect(stdout).toContain('node-3');
    for (const line of stdout.split('\r\n')) expect(widthOf(line)).toBeLessThanOrEqual(44);
  });

  test.each([
    ['NO_COLOR', [], { NO_COLOR: '1' }],
    ['--no-color', ['--no-color'], {}],
  ])('%s turns colours off', async (_, words, env: Record<string, string>) => {
    await open();
    const [plain, coloured] = await Promise.all([
      startAtTerminal(['ring', ...words, ...fleet()], { env }).ended,
      startAtTerminal(['ring', ...fleet()]).ended,
    ]);
    expect(plain.stdout).not.toContain('\x1b[');
    expect(coloured.stdout).toContain('\x1b[32mup\x1b[39m');
  });

  test.each([
    ['n', 'n\r'],
    ['nothing', '\r'],
    ['Ctrl-C', '\x03'],
    ['Ctrl-D', '\x04'],
  ])('a change that is answered with %s is not made', async (_, answer) => {
    const cache = await open();
    const running = startAtTerminal(['topology', 'remove', 'node-3', ...fleet()]);
    await running.has(/Change the ring now\? \[y\/N\] /);
    running.type(answer);
    const { code, stdout } = await running.ended;
    expect(code).toBe(1);
    expect(stdout).toContain('Nothing was changed.');
    expect(await cliJson(['ring', ...fleet()])).toMatchObject({ epoch: cache.topology.epoch });
  });

  test('y makes it, with a bar meanwhile', async () => {
    const cache = await open();
    await cache.setMany(Array.from({ length: 3_000 }, (_, i) => [`k${i}`, i]));
    const words = ['topology', 'remove', 'node-3', '--keys-per-second', '3000', ...fleet()];
    const running = startAtTerminal(words);
    await running.has(/\[y\/N\] /);
    running.type('y\r');
    const { code, stdout } = await running.ended;
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`\\r${ESC}\\[K.* % .* keys, .* copied`));
    expect(stdout).toMatch(/Done:.* the ring is stable at epoch 3; [\d,]+ keys copied/);
    expect(await cliJson(['ring', ...fleet()])).toMatchObject({ epoch: 3, state: 'stable' });
  });
});

/** As a terminal counts, of text that has no wide characters. */
function widthOf(line: string): number {
  return [...stripVTControlCharacters(line)].length;
}
