/**
 * Lines over time, from some time before an event until after it. Each line is
 * named where it ends, so that nobody has to look up a colour.
 */

import { type Colour, line, type Plot, round, text } from './svg.ts';

export interface TimeSeries {
  readonly name: string;
  readonly colour: Colour;
  /** Bold: the one that the picture is about. */
  readonly bold?: boolean;
  readonly points: readonly { readonly seconds: number; readonly value: number }[];
}

export interface TimePanel {
  readonly kind: 'times';
  readonly title: string;
  readonly series: readonly TimeSeries[];
  readonly min: number;
  readonly max: number;
  /** @default false: an even axis */
  readonly logarithmic?: boolean;
  readonly ticks: readonly number[];
  readonly format: (value: number) => string;
  readonly fromSeconds: number;
  readonly toSeconds: number;
  /** What happened when. */
  readonly events: readonly { readonly seconds: number; readonly text: string }[];
}

/** Where the names of the lines stand, right of the plot. */
export const NAMES_WIDTH = 108;
const NAME_HEIGHT = 16;

export function drawTimes(panel: TimePanel, plot: Plot): string {
  const { fromSeconds, toSeconds, min, max } = panel;
  const area = { ...plot, width: plot.width - NAMES_WIDTH };
  const x = (seconds: number): number =>
    area.left + ((seconds - fromSeconds) / (toSeconds - fromSeconds)) * area.width;
  const partOf = panel.logarithmic
    ? (value: number): number => Math.log(value / min) / Math.log(max / min)
    : (value: number): number => (value - min) / (max - min);
  const y = (value: number): number =>
    area.top + area.height * (1 - Math.min(1, Math.max(0, partOf(value))));
  const parts = [
    text(panel.title, { x: plot.left - 46, y: plot.top - 26 }, 'class="panel"'),
    ...drawAxes(panel, area, { x, y }),
    ...drawEvents(panel, area, x),
  ];
  // The bold one last, so that no other lies over it.
  const ordered = panel.series.toSorted(
    (a, b) => Number(a.bold ?? false) - Number(b.bold ?? false),
  );
  for (const { points, colour, bold } of ordered) {
    const spots = points.map(({ seconds, value }) => `${round(x(seconds))},${round(y(value))}`);
    parts.push(
      `<polyline class="line ${colour}${bold ? ' bold' : ''}" points="${spots.join(' ')}"/>`,
    );
  }
  parts.push(...drawNames(panel.series, area, y));
  return parts.join('\n');
}

interface Scales {
  readonly x: (seconds: number) => number;
  readonly y: (value: number) => number;
}

function drawAxes(panel: TimePanel, area: Plot, { x, y }: Scales): string[] {
  const right = area.left + area.width;
  const bottom = area.top + area.height;
  const seconds: number[] = [];
  for (let at = Math.ceil(panel.fromSeconds); at <= panel.toSeconds + 0.1; at++) seconds.push(at);
  return [
    ...panel.ticks.flatMap((tick) => [
      line({ x: area.left, y: y(tick) }, { x: right, y: y(tick) }, 'grid'),
      text(
        panel.format(tick),
        { x: area.left - 8, y: y(tick) + 4 },
        'class="quiet value" text-anchor="end"',
      ),
    ]),
    line({ x: area.left, y: bottom }, { x: right, y: bottom }, 'axis'),
    ...seconds.map((at) =>
      text(
        `${at < 0 ? '−' : ''}${Math.abs(at)}${at === seconds.at(-1) ? ' s' : ''}`,
        { x: x(at), y: bottom + 18 },
        'class="quiet value" text-anchor="middle"',
      ),
    ),
  ];
}

function drawEvents(panel: TimePanel, area: Plot, x: Scales['x']): string[] {
  return panel.events.flatMap(({ seconds, text: what }) => [
    line({ x: x(seconds), y: area.top - 4 }, { x: x(seconds), y: area.top + area.height }, 'event'),
    text(what, { x: x(seconds) + 4, y: area.top - 6 }, 'class="quiet value"'),
  ]);
}

/** Beside the last point of each line, moved apart where they would overlap. */
function drawNames(series: readonly TimeSeries[], area: Plot, y: Scales['y']): string[] {
  const names = series
    .map(({ name, colour, bold, points }) => {
      return { name, colour, bold: bold ?? false, at: y(points.at(-1)?.value ?? 0) };
    })
    .sort((a, b) => a.at - b.at || Number(b.bold) - Number(a.bold));
  let lowest = area.top + NAME_HEIGHT / 2;
  for (const name of names) {
    name.at = Math.max(name.at, lowest);
    lowest = name.at + NAME_HEIGHT;
  }
  // Those that were pushed out below move up again.
  let highest = area.top + area.height + NAME_HEIGHT / 2;
  for (const name of names.toReversed()) {
    name.at = Math.min(name.at, highest);
    highest = name.at - NAME_HEIGHT;
  }
  return names.map(({ name, colour, at }) =>
    text(name, { x: area.left + area.width + 8, y: at + 4 }, `class="value ${colour}"`),
  );
}

/** For people who cannot see it: the worst of each line. */
export function describeTimes(panel: TimePanel): string {
  const series = panel.series.map(({ name, points }) => {
    const values = points.filter(({ seconds }) => seconds >= 0).map(({ value }) => value);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return `${name} from ${panel.format(low)} to ${panel.format(high)}`;
  });
  return `${panel.title}, in the ${panel.toSeconds} s after the change: ${series.join('; ')}.`;
}
