/**
 * The report as one page that needs nothing but itself: no script, no font, no
 * other file. Light or dark as the reader's system is.
 */

import type { Report } from './bench.ts';
import { drawPanel, type Panel } from './chart.ts';
import { type Machine, machineLine } from './machine.ts';
import { timePanels } from './rebalance-charts.ts';
import type { LiveOutcome, ScenarioId } from './rebalance-live.ts';
import { balancePanel, movementPanel, type Placement } from './rebalance-placement.ts';
import { formatCell, isNumeric, type Table } from './report.ts';
import { escapeText, STYLE } from './svg.ts';

interface PageParts {
  readonly live: readonly LiveOutcome[];
  readonly placement: Placement;
  readonly machine: Machine;
}

const CHART = { width: 470, height: 270 } as const;

const SECTIONS: readonly (readonly [ScenarioId, string, string])[] = [
  [
    'add',
    'A fourth node joins',
    'With modulo three of four keys change their node, on the ring one of four. Without copies each of them is a miss when it is next read.',
  ],
  ['remove', 'It leaves again', 'It answers until the end, so what it has can be copied.'],
  [
    'lose',
    'A node is killed',
    'What it had is gone, and no placement brings it back. Until it is taken off the ring its keys are loaded and stored nowhere; then modulo also gives up half of the keys of the nodes that are well.',
  ],
];

const CSS = `
:root { color-scheme: light dark; --ground: #fff; --text: #3d4451; --strong: #12161c; --quiet: #667080; --line: #d8dee6; --ours: #eaf3fa }
@media (prefers-color-scheme: dark) { :root { --ground: #12161c; --text: #c3cad5; --strong: #f2f5f9; --quiet: #929dac; --line: #313945; --ours: #17293a } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 48px 32px 64px; max-width: 1480px; background: var(--ground); color: var(--text);
  font: 17px/1.55 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }
h1 { margin: 0 0 12px; font-size: 34px; line-height: 1.2; color: var(--strong) }
h2 { margin: 52px 0 4px; font-size: 25px; color: var(--strong) }
p { margin: 0 0 12px; max-width: 86ch } .lead { font-size: 20px } .quiet { color: var(--quiet) }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(400px, 1fr)); gap: 12px 28px; margin-top: 14px }
.charts svg { width: 100%; height: auto; display: block }
.figures { display: flex; flex-wrap: wrap; gap: 14px 56px; margin: 28px 0 8px; padding: 0 }
.figures div { min-width: 180px } .figures dt { color: var(--quiet) }
.figures dd { margin: 0; font-size: 34px; font-weight: 600; color: var(--strong); line-height: 1.25 }
.figures small { display: block; font-size: 15px; font-weight: 400; color: var(--quiet) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: 15px; font-variant-numeric: tabular-nums; margin: 10px 0 6px }
caption { text-align: left; font-weight: 600; color: var(--strong); padding: 14px 0 6px; font-size: 17px }
th, td { padding: 5px 14px 5px 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: bottom }
th { font-weight: 500; color: var(--quiet) } .number { text-align: right }
tr.ours td { background: var(--ours); color: var(--strong) }
ul { padding-left: 20px; max-width: 86ch } li { margin: 4px 0 } code { font-size: 0.92em }
@media print { body { padding: 0 } h2 { break-after: avoid } .charts, table { break-inside: avoid } }`;

export function drawPage(report: Report, parts: PageParts): string {
  const { live, placement, machine } = parts;
  const sections = SECTIONS.map(
    ([scenario, title, words]) =>
      `<section>\n<h2>${escapeText(title)}</h2>\n<p>${escapeText(words)}</p>\n${charts(timePanels(live, scenario))}\n</section>`,
  );
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<title>ringcache: what a change of the ring costs</title>',
    `<style>${CSS}\n${STYLE}</style>`,
    '</head>',
    '<body>',
    '<h1>What a change of the ring costs</h1>',
    `<p class="lead">${escapeText(report.summary)}</p>`,
    headline(live),
    ...sections,
    '<section>\n<h2>In figures</h2>',
    ...report.tables.slice(0, 2).map(drawTable),
    report.targets === undefined ? '' : drawTable(targetTable(report.targets)),
    '</section>',
    '<section>\n<h2>Which keys have to move at all</h2>',
    `<p>${placement.keys.toLocaleString('en-US')} keys, each routed before and after; means over ${placement.sets} sets of node ids.</p>`,
    charts([movementPanel(placement), balancePanel(placement)]),
    ...report.tables.slice(2).map(drawTable),
    '</section>',
    method(report, machine),
    '</body>',
    '</html>\n',
  ].join('\n');
}

/** Four numbers to remember. */
function headline(live: readonly LiveOutcome[]): string {
  const added = (row: string): LiveOutcome | undefined =>
    live.find((outcome) => outcome.row === row && outcome.scenario === 'add');
  const ours = added('ours');
  const modulo = added('modulo');
  if (ours === undefined || modulo === undefined) return '';
  const one = (what: string, figure: string, beside: string): string =>
    `<div><dt>${escapeText(what)}</dt><dd>${escapeText(figure)}<small>${escapeText(beside)}</small></dd></div>`;
  const percent = (part: number): string => `${Number((part * 100).toFixed(1))} %`;
  const figures = [
    one('loads again, 3 → 4 nodes', whole(ours.extraLoads), `modulo: ${whole(modulo.extraLoads)}`),
    one('worst hit rate', percent(ours.worstHitRate), `modulo: ${percent(modulo.worstHitRate)}`),
    one('keys moved', percent(ours.moved), `modulo: ${percent(modulo.moved)}`),
    one(
      'all processes follow within',
      `${whole(ours.servesAfterMs ?? 0)} ms`,
      'without being told',
    ),
    one('stale reads', whole(ours.staleReads), `of ${whole(ours.reads)}`),
  ];
  return `<dl class="figures">${figures.join('')}</dl>`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function charts(panels: readonly Panel[]): string {
  return `<div class="charts">\n${panels.map(drawOne).join('\n')}\n</div>`;
}

function drawOne(panel: Panel): string {
  const { width, height } = CHART;
  const top = panel.kind === 'times' ? 44 : 62;
  const bottom = panel.kind === 'times' ? 28 : 46;
  const plot = { left: 50, top, width: width - 54, height: height - top - bottom };
  return [
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeText(panel.title)}">`,
    drawPanel(panel, plot),
    '</svg>',
  ].join('\n');
}

function targetTable(targets: NonNullable<Report['targets']>): Table {
  return {
    title: 'Targets',
    columns: [
      { key: 'what', head: 'what' },
      { key: 'measured', head: 'measured', digits: 2 },
      { key: 'bound', head: 'target' },
      { key: 'outcome', head: '' },
    ],
    rows: targets.map(({ met, ...target }) => ({ ...target, outcome: met ? 'met' : 'missed' })),
  };
}

function drawTable(table: Table): string {
  const numeric = table.columns.map((column) => isNumeric(table, column));
  const cell = (tag: 'th' | 'td', content: string, i: number): string =>
    `<${tag}${numeric[i] ? ' class="number"' : ''}>${escapeText(content)}</${tag}>`;
  const rows = table.rows.map((row, r) => {
    const cells = table.columns.map((column, i) => {
      // The same as in the row above: said once.
      const repeats = i === 0 && row[column.key] === table.rows[r - 1]?.[column.key];
      return cell('td', repeats ? '' : formatCell(row[column.key], column), i);
    });
    return `<tr${row['row'] === 'ringcache' ? ' class="ours"' : ''}>${cells.join('')}</tr>`;
  });
  const heads = table.columns.map(({ head }, i) => cell('th', head, i));
  return [
    '<div class="scroll"><table>',
    `<caption>${escapeText(table.title)}</caption>`,
    `<thead><tr>${heads.join('')}</tr></thead>`,
    `<tbody>${rows.join('\n')}</tbody>`,
    '</table></div>',
  ].join('\n');
}

function method(report: Report, machine: Machine): string {
  const parameters = Object.entries(report.parameters).map(([name, value]) => `${name} ${value}`);
  return `<section>
<h2>How it was measured</h2>
<ul>
<li>Real Redis servers and real processes on one machine. A request is due at a fixed rate, answered or not, and is timed from when it was due: a loop that waits for answers would hide most of what a cold cache costs. Timers tick once a millisecond; that is in every latency.</li>
<li>All rows use the same nodes, leases and clients; they differ in how a key is placed (<code>hash % nodes</code> or the ring) and in whether the change copies values. So the rows without copies are better than a cache that does neither coalesce loads nor fence them.</li>
<li>A load is extra when the value had been put into the cache since it last changed; loads that a delete asks for are counted apart. The hit rate leaves those out, and the reads that wait for them.</li>
<li>A stale read is one that began after a set or delete of its key was confirmed, in whatever process, and returned an older version; with the memory tier on, a second later (its <code>maxStale</code>). A read that joins one under way in its process counts from when that one began. One of them fails the benchmark.</li>
<li>The copies keep the cache warm, not the ring: modulo with copies is as warm. The ring makes them few, and the time in which reads ask two nodes short. “Extra requests” is their price: leases, copies and fills, by reads and by the mover.</li>
<li>A killed node is taken off the ring a second later, in all rows. Nothing can be copied from it, so rows that differ in copies alone are the same there.</li>
<li>Not measured: throughput (clients and servers share the processors), networks with a delay, values so large that copying them takes bandwidth.</li>
</ul>
<p class="quiet">${escapeText(`Made by npm run bench -- rebalance --save. Parameters: ${parameters.join(', ')}. Machine: ${machineLine(machine)}. Checksum ${report.checksum}.`)}</p>
</section>`;
}
