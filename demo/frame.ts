/** The live picture: lines out of a view, for any width. Pure. */
import type { NodeView, Point, View } from './monitor.ts';
import { bar, type Format, type Paint, padEnd, padStart, spark } from './paint.ts';
import type { Tone } from './scene.ts';
import { int, ms, percent } from './verdict.ts';

export interface Progress {
  readonly number: number;
  readonly of: number;
  readonly title: string;
  readonly tone: Tone;
  readonly elapsedSeconds: number;
  readonly seconds: number;
}

const LABEL = 11;
const NARROW = 72;
const LEGEND_WITH_QUERIES = 84;

export const TONES: Readonly<Record<Tone, Format>> = {
  calm: 'green',
  failure: 'yellow',
  change: 'cyan',
};

export function frame(
  view: View,
  progress: Progress,
  look: { width: number; paint: Paint },
): string[] {
  const { width, paint } = look;
  const label = (text: string): string => paint('dim', text.padEnd(LABEL));
  const bad = (count: number): string => paint(count === 0 ? 'green' : ['red', 'bold'], int(count));
  const picture = Math.max(10, width - LABEL - 2);
  return [
    paint('dim', '─'.repeat(width)),
    heading(progress, look),
    `${label('requests')}${padEnd(`${int(view.requestsPerSecond)}/s`, 10)}` +
      `${paint('dim', 'errors')} ${bad(view.errors)}   ${paint('dim', 'stale reads')} ${bad(view.staleReads)}` +
      (width < NARROW
        ? ''
        : `   ${paint('dim', 'epoch')} ${view.epoch}${view.joint ? paint('cyan', ' ring is changing') : ''}`),
    `${label('answered')}${answeredBar(view, picture, paint)}`,
    `${label('by')}${answeredLegend(view, look)}`,
    `${label('latency')}p50 ${ms(view.p50Ms)}   p99 ${ms(view.p99Ms)}   worst ${ms(view.worstMs)}`,
    `${label('hit rate')}${curve(view.points, picture, { paint, of: hitHeight })}`,
    `${label('p99')}${curve(view.points, picture, { paint, of: latencyHeight })}`,
    ...view.nodes.map((node) => nodeLine(node, look)),
  ];
}

function heading(progress: Progress, { width, paint }: { width: number; paint: Paint }): string {
  const { number, of, title, tone, elapsedSeconds, seconds } = progress;
  const left = `${paint('dim', `${number}/${of}`)}  ${paint([...[TONES[tone]].flat(), 'bold'], title)}`;
  const room = Math.max(5, Math.min(24, width - 40));
  const done = Math.round(Math.min(1, elapsedSeconds / seconds) * room);
  const line =
    paint([TONES[tone]].flat(), '━'.repeat(done)) + paint('dim', '─'.repeat(room - done));
  return `${padEnd(left, width - room - 8)}${line} ${padStart(`${elapsedSeconds.toFixed(1)} s`, 6)}`;
}

/** One bar for all reads: who answered them. */
function answeredBar(view: View, width: number, paint: Paint): string {
  const memory = Math.round(view.memory * width);
  const nodes = Math.round(view.atNodes * width);
  // Whatever reaches the database is to be seen, however little it is.
  const database = view.database > 0 ? Math.max(1, width - memory - nodes) : 0;
  const rest = Math.max(0, Math.min(nodes, width - memory - database));
  return (
    paint('green', '█'.repeat(memory)) +
    paint('blue', '▓'.repeat(rest)) +
    paint('yellow', '░'.repeat(Math.min(database, width - memory)))
  );
}

function answeredLegend(view: View, { width, paint }: { width: number; paint: Paint }): string {
  const queries =
    width < LEGEND_WITH_QUERIES
      ? ''
      : paint('dim', ` (${int(view.loadsPerSecond)}/s, ${view.queriesAtOnce} at once)`);
  return [
    `${paint('green', '█')} memory ${percent(view.memory)}`,
    `${paint('blue', '▓')} nodes ${percent(view.atNodes)}`,
    `${paint('yellow', '░')} database ${percent(view.database)}${queries}`,
  ].join(width < NARROW ? ' ' : '   ');
}

function nodeLine(node: NodeView, { width, paint }: { width: number; paint: Paint }): string {
  const up = node.state === 'up';
  const tone: Format = up ? 'green' : node.state === 'down' ? 'red' : 'yellow';
  const breakerTone: Format =
    node.breaker === 'closed' ? 'green' : node.breaker === 'open' ? 'red' : 'yellow';
  const room = Math.max(6, Math.min(48, width - 58));
  return (
    padEnd(node.id, LABEL) +
    paint(tone, padEnd(`${up ? '●' : '○'} ${node.state}`, 8)) +
    paint('dim', 'breaker ') +
    paint(breakerTone, padEnd(node.breaker, 9)) +
    paint(up ? 'green' : 'dim', padEnd(bar(node.share, room), room)) +
    padStart(percent(node.share), 7) +
    padStart(`${int(node.perSecond)} ops/s`, 13)
  );
}

interface CurveLook {
  readonly paint: Paint;
  of(point: Point): number;
}

function curve(points: readonly Point[], width: number, look: CurveLook): string {
  return points
    .slice(-width)
    .map((point) => look.paint(TONES[point.tone], spark(look.of(point))))
    .join('');
}

/** From half at the bottom to all at the top: below half nothing is to be seen anyway. */
function hitHeight({ hitShare }: Point): number {
  return hitShare * 2 - 1;
}

/** From 1 ms at the bottom to 150 ms at the top, in equal factors. */
function latencyHeight({ p99Ms }: Point): number {
  return Math.log10(Math.max(1, p99Ms)) / Math.log10(150);
}

/** The same in one line, where nothing can be redrawn. */
export function plainLine(view: View, elapsedSeconds: number): string {
  const nodes = view.nodes.map(({ id, state, share }) =>
    state === 'up' ? `${id} ${Math.round(share * 100)} %` : `${id} ${state.toUpperCase()}`,
  );
  return [
    `${elapsedSeconds.toFixed(0).padStart(3)} s`,
    `${int(view.requestsPerSecond)} reads/s`,
    `memory ${Math.round(view.memory * 100)} % nodes ${Math.round(view.atNodes * 100)} %`,
    `${int(view.loadsPerSecond)} loads/s`,
    `p50 ${ms(view.p50Ms)} p99 ${ms(view.p99Ms)}`,
    `errors ${view.errors}`,
    nodes.join(', '),
  ].join('  ');
}
