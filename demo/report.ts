/** What stays on the terminal: the introduction, a block for each phase, the summary. Pure. */
import { DATABASE_MS } from './database.ts';
import { TONES } from './frame.ts';
import { type Paint, padEnd, padStart, wrap } from './paint.ts';
import type { Phase } from './scene.ts';
import {
  type Check,
  exitCodeOf,
  int,
  isBroken,
  ms,
  type PhaseResult,
  unexplainedLoads,
} from './verdict.ts';

export interface Look {
  readonly width: number;
  readonly paint: Paint;
}

export interface Setting {
  readonly seed: number;
  readonly keys: number;
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  readonly ports: readonly number[];
}

const WHAT = 32;
const EXPECTED = 26;
const NARROW = 100;
const NARROW_WHAT = 33;

export function introduction(setting: Setting, { width, paint }: Look): string[] {
  const { keys, readsPerSecond, writesPerSecond, seed, ports } = setting;
  const { from, to } = DATABASE_MS;
  const dim = (text: string): string => paint('dim', text);
  const about =
    `${int(keys)} products in a database that takes ${from} to ${to} ms, ` +
    `${int(readsPerSecond)} reads/s (Zipf 0.99) and ${int(writesPerSecond)} writes/s, seed ${seed}`;
  return [
    `${paint('bold', 'ringcache')}  one cache over several Redis servers, inside your process`,
    '',
    `  ${paint('cyan', "cache.getOrSet('product:42', load)")}`,
    `   ${dim('├─')} ${paint('green', 'memory')}    ${dim('of this process, for up to a second: most reads end here')}`,
    `   ${dim('├─')} ${paint('blue', 'nodes')}     ${dim(`a hash ring says which one: ${ports.length} Redis servers, ports ${ports.join(' ')}`)}`,
    `   ${dim('└─')} ${paint('yellow', 'database')}  ${dim('load(), once, however many callers wait for it')}`,
    '',
    ...wrap(about, width - 2).map((line) => `  ${line}`),
    '',
  ];
}

export function opening(number: number, phase: Phase, look: Look): string[] {
  const { width, paint } = look;
  const title = paint([...[TONES[phase.tone]].flat(), 'bold'], phase.title);
  return [
    `${paint('bold', String(number))}  ${title}`,
    ...wrap(phase.story, width - 4).map((line) => `   ${paint('dim', line)}`),
  ];
}

export function checkLines(checks: readonly Check[], look: Look): string[] {
  return [...headLine(look), ...checks.flatMap((check) => checkLine(check, look)), ''];
}

function checkLine(check: Check, { width, paint }: Look): string[] {
  const { what, expected } = check;
  const mark = markOf([check], paint);
  const measured = check.unjudged
    ? `${check.measured}; not judged, machine too busy`
    : check.measured;
  const tell = (text: string): string => (isBroken(check) ? paint(['red', 'bold'], text) : text);
  if (width < NARROW) {
    const room = width - NARROW_WHAT - 5;
    const [first = '', ...rest] = wrap(measured, room);
    const blank = `     ${padEnd('', NARROW_WHAT)}`;
    return [
      `   ${mark} ${padEnd(what, NARROW_WHAT)}${tell(first)}`,
      ...rest.map((line) => blank + tell(line)),
      ...wrap(`expected ${expected}`, room).map((line) => blank + paint('dim', line)),
    ];
  }
  return [
    `   ${mark} ${padEnd(what, WHAT)}${paint('dim', padEnd(expected, EXPECTED))}${tell(measured)}`,
  ];
}

/** The worst of them. */
function markOf(checks: readonly Check[], paint: Paint): string {
  if (checks.some(isBroken)) return paint(['red', 'bold'], '✗');
  return checks.every(({ kept }) => kept) ? paint('green', '✓') : paint('yellow', '?');
}

function headLine({ width, paint }: Look): string[] {
  if (width < NARROW) return [];
  return [paint('dim', `     ${padEnd('', WHAT)}${padEnd('expected', EXPECTED)}measured`)];
}

interface SummaryColumn {
  readonly head: string;
  readonly width: number;
  of(result: PhaseResult): string;
}

const COLUMNS: readonly SummaryColumn[] = [
  { head: 'errors', width: 8, of: ({ basics }) => int(basics.errors) },
  { head: 'stale', width: 8, of: ({ basics }) => int(basics.staleReads) },
  { head: 'extra loads', width: 13, of: ({ basics }) => int(unexplainedLoads(basics)) },
  { head: 'worst wait', width: 12, of: ({ basics }) => ms(basics.worstWaitMs) },
];

const WIDE_COLUMNS: readonly SummaryColumn[] = [
  { head: 'reads', width: 10, of: ({ basics }) => int(basics.requests) },
  { head: 'loads', width: 9, of: ({ basics }) => int(basics.loads) },
  ...COLUMNS,
  { head: 'promises kept', width: 15, of: keptOf },
];

const TITLE = 17;

export function summary(results: readonly PhaseResult[], seconds: number, look: Look): string[] {
  const { paint, width } = look;
  const columns = width < NARROW ? COLUMNS : WIDE_COLUMNS;
  const heads = columns.map((column) => padStart(column.head, column.width));
  const lines = results.map((result) => {
    const mark = markOf(result.checks, paint);
    const cells = columns.map((column) => padStart(column.of(result), column.width));
    return `   ${mark} ${padEnd(result.title, TITLE)}${cells.join('')}`;
  });
  return [
    paint('dim', `     ${padEnd('', TITLE)}${heads.join('')}`),
    ...lines,
    '',
    ...verdict(results, seconds, look),
    '',
  ];
}

function keptOf({ checks }: PhaseResult): string {
  return `${checks.filter(({ kept }) => kept).length} of ${checks.length}`;
}

function verdict(
  results: readonly PhaseResult[],
  seconds: number,
  { paint, width }: Look,
): string[] {
  const all = results.flatMap(({ checks }) => checks);
  const broken = all.filter(isBroken).length;
  const kept = all.filter((check) => check.kept).length;
  const passed = exitCodeOf(results) === 0;
  let text = `All ${all.length} promises kept`;
  if (!passed) text = `${broken} of ${all.length} promises BROKEN`;
  else if (kept < all.length) {
    text = `${kept} of ${all.length} promises kept, the rest not judged on a busy machine`;
  }
  const tone = passed ? 'green' : 'red';
  const about = `in ${seconds.toFixed(0)} s, with a node killed, one frozen, one added and one removed.`;
  if (text.length + about.length < width) {
    return [`${paint([tone, 'bold'], text)} ${paint('dim', about)}`];
  }
  return [paint([tone, 'bold'], text), ...wrap(about, width).map((line) => paint('dim', line))];
}
