/**
 * Two small charts side by side as one SVG, for the README: no script, no font
 * to load, and a ground of its own, so that it can be read on any page. Colours
 * follow the reader's light or dark mode.
 */

import { type Colour, escapeText, line, type Plot, round, STYLE, text, textWidth } from './svg.ts';
import { describeTimes, drawTimes, type TimePanel } from './time-panel.ts';

export interface Series {
  readonly name: string;
  readonly colour: Colour;
  readonly values: readonly number[];
}

interface PanelBase {
  readonly title: string;
  /** What the categories are. @default none: they say so themselves */
  readonly xTitle?: string;
  /** Evenly spaced along the x axis, with line breaks or without; every series has a value for each. */
  readonly categories: readonly string[];
  readonly max: number;
  readonly ticks: readonly number[];
  readonly format: (value: number) => string;
  readonly series: readonly Series[];
}

export interface BarPanel extends PanelBase {
  readonly kind: 'bars';
  /** Where a logarithmic axis begins. @default none: an even axis from 0 */
  readonly min?: number;
  /** A short line across the bars of each category. */
  readonly marks?: { readonly name: string; readonly values: readonly number[] };
}

export interface LinePanel extends PanelBase {
  readonly kind: 'lines';
  readonly min: number;
  /** A category to point out. */
  readonly highlight?: { readonly category: string; readonly text: string };
}

export type Panel = BarPanel | LinePanel | TimePanel;

export interface Chart {
  readonly title: string;
  readonly subtitle: string;
  readonly panels: readonly Panel[];
  /** The command that makes it. */
  readonly source: string;
}

const WIDTH = 960;
const HEIGHT = 430;
const GAP = 56;
const MARGIN = 28;

/** The whole picture. */
export function drawChart(chart: Chart): string {
  const width = (WIDTH - 2 * MARGIN - GAP * (chart.panels.length - 1)) / chart.panels.length;
  const panels = chart.panels.map((panel, i) => {
    const plot = {
      left: MARGIN + i * (width + GAP) + 46,
      top: 138,
      width: width - 46,
      height: 210,
    };
    // Without a legend under its title, the lines have its place.
    const taller = { ...plot, top: plot.top - 20, height: plot.height + 20 };
    return drawPanel(panel, panel.kind === 'times' ? taller : plot);
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">`,
    `<title>${escapeText(chart.title)}</title>`,
    `<desc>${escapeText(describe(chart))}</desc>`,
    `<style>${STYLE}</style>`,
    `<rect class="ground" x="0.5" y="0.5" width="${WIDTH - 1}" height="${HEIGHT - 1}" rx="10"/>`,
    text(chart.title, { x: MARGIN, y: 38 }, 'class="title"'),
    text(chart.subtitle, { x: MARGIN, y: 60 }, 'class="quiet"'),
    ...panels,
    text(
      chart.source,
      { x: WIDTH - MARGIN, y: HEIGHT - 14 },
      'class="quiet value" text-anchor="end"',
    ),
    '</svg>\n',
  ].join('\n');
}

/** One panel: what stands in `plot`, and its titles above and below it. */
export function drawPanel(panel: Panel, plot: Plot): string {
  switch (panel.kind) {
    case 'bars':
      return drawBars(panel, plot);
    case 'lines':
      return drawLines(panel, plot);
    case 'times':
      return drawTimes(panel, plot);
  }
}

function drawBars(panel: BarPanel, plot: Plot): string {
  const step = plot.width / panel.categories.length;
  const bar = (step * 0.74) / panel.series.length;
  const { min, max } = panel;
  const partOf = (value: number): number =>
    min === undefined ? value / max : Math.max(0, Math.log(value / min) / Math.log(max / min));
  const y = (value: number): number => plot.top + plot.height * (1 - partOf(value));
  const parts = [drawFrame(panel, plot, y)];
  for (const [c] of panel.categories.entries()) {
    const left = plot.left + c * step + step * 0.13;
    for (const [s, { colour, values }] of panel.series.entries()) {
      const value = values[c]!;
      const x = left + s * bar;
      parts.push(
        `<rect class="bar ${colour}" x="${round(x)}" y="${round(y(value))}" width="${round(bar - 2)}" height="${round(plot.top + plot.height - y(value))}"/>`,
        text(
          panel.format(value).replace(' %', ''),
          { x: x + bar / 2 - 1, y: y(value) - 6 },
          'class="value" text-anchor="middle"',
        ),
      );
    }
    const mark = panel.marks?.values[c];
    if (mark !== undefined) {
      // Across the last bar, which is the one that comes near it.
      const x = left + (panel.series.length - 1) * bar;
      parts.push(line({ x: x - 4, y: y(mark) }, { x: x + bar + 2, y: y(mark) }, 'mark'));
    }
  }
  return parts.join('\n');
}

function drawLines(panel: LinePanel, plot: Plot): string {
  const step = plot.width / panel.categories.length;
  const x = (category: number): number => plot.left + (category + 0.5) * step;
  const y = (value: number): number =>
    plot.top + plot.height * (1 - (value - panel.min) / (panel.max - panel.min));
  const parts: string[] = [];
  const at = panel.categories.indexOf(panel.highlight?.category ?? '');
  if (at !== -1) {
    parts.push(
      `<rect class="zone" x="${round(x(at) - step / 2)}" y="${plot.top}" width="${round(step)}" height="${plot.height}"/>`,
      text(
        panel.highlight?.text ?? '',
        { x: x(at), y: plot.top + 18 },
        'class="quiet value" text-anchor="middle"',
      ),
    );
  }
  parts.push(drawFrame(panel, plot, y));
  for (const { colour, values } of panel.series) {
    const points = values.map((value, c) => `${round(x(c))},${round(y(value))}`);
    parts.push(`<polyline class="line ${colour}" points="${points.join(' ')}"/>`);
    for (const [c, value] of values.entries()) {
      parts.push(`<circle class="${colour}" cx="${round(x(c))}" cy="${round(y(value))}" r="3.5"/>`);
    }
  }
  return parts.join('\n');
}

/** Titles, legend, grid, axes and what stands at them. */
function drawFrame(panel: BarPanel | LinePanel, plot: Plot, y: (value: number) => number): string {
  const right = plot.left + plot.width;
  const bottom = plot.top + plot.height;
  const step = plot.width / panel.categories.length;
  return [
    text(panel.title, { x: plot.left - 46, y: plot.top - 46 }, 'class="panel"'),
    drawLegend(panel, plot.left - 46, plot.top - 22),
    ...panel.ticks.flatMap((tick) => [
      line({ x: plot.left, y: y(tick) }, { x: right, y: y(tick) }, 'grid'),
      text(
        panel.format(tick),
        { x: plot.left - 8, y: y(tick) + 4 },
        'class="quiet value" text-anchor="end"',
      ),
    ]),
    line({ x: plot.left, y: bottom }, { x: right, y: bottom }, 'axis'),
    ...panel.categories.flatMap((category, c) =>
      category
        .split('\n')
        .map((label, i) =>
          text(
            label,
            { x: plot.left + (c + 0.5) * step, y: bottom + 18 + i * 16 },
            `text-anchor="middle"${i > 0 ? ' class="quiet"' : ''}`,
          ),
        ),
    ),
    text(
      panel.xTitle ?? '',
      { x: plot.left + plot.width / 2, y: bottom + 38 },
      'class="quiet" text-anchor="middle"',
    ),
  ].join('\n');
}

function drawLegend(panel: BarPanel | LinePanel, left: number, y: number): string {
  const parts: string[] = [];
  let x = left;
  for (const { name, colour } of panel.series) {
    parts.push(
      `<rect class="bar ${colour}" x="${round(x)}" y="${y - 10}" width="11" height="11" rx="2"/>`,
    );
    parts.push(text(name, { x: x + 17, y: y }, ''));
    x += 17 + textWidth(name) + 18;
  }
  if (panel.kind === 'bars' && panel.marks !== undefined) {
    parts.push(line({ x: x, y: y - 4.5 }, { x: x + 16, y: y - 4.5 }, 'mark'));
    parts.push(text(panel.marks.name, { x: x + 22, y: y }, ''));
  }
  return parts.join('\n');
}

/** For people who cannot see it: the numbers. */
function describe(chart: Chart): string {
  return chart.panels
    .map((panel) => {
      if (panel.kind === 'times') return describeTimes(panel);
      const series = panel.series.map(({ name, values }) => {
        const names = panel.categories.map((category) => category.replace('\n', ', '));
        const all = values.map((value, c) => `${names[c]}: ${panel.format(value)}`);
        return `${name} (${all.join(', ')})`;
      });
      const by = panel.xTitle === undefined ? '' : `, by ${panel.xTitle}`;
      return `${panel.title}${by}: ${series.join('; ')}.`;
    })
    .join(' ');
}
