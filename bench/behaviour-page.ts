/** How the comparison of behaviours is told: tables for the terminal, a page for the documents. */

import type { Library } from './behaviour-libraries.ts';
import type { Scenario } from './behaviour-stage.ts';
import { describeMachine } from './machine.ts';
import type { Table } from './report.ts';

export interface Result {
  readonly library: Library;
  readonly scenario: Scenario;
  readonly verdict: 'pass' | 'fail' | 'with option' | 'cannot';
  /** What was seen where the claim did not hold, or why it cannot be played. */
  readonly why?: string;
  /** The option with which it passes. */
  readonly option?: string;
}

const MARKS = { pass: 'yes', fail: 'NO', 'with option': 'option', cannot: '–' } as const;

export function summarise(results: readonly Result[]): string {
  const passed = (name: string): string => {
    const own = results.filter(
      ({ library, verdict }) => library.name === name && verdict !== 'cannot',
    );
    const yes = own.filter(({ verdict }) => verdict === 'pass').length;
    return `${name} ${yes} of ${own.length}`;
  };
  const names = [...new Set(results.map(({ library }) => library.name))];
  const inOrder = names.toSorted((a, b) => rank(results, a) - rank(results, b));
  return `Claims that hold by default, of those that can be asked: ${inOrder.map(passed).join(', ')}.`;
}

/** ringcache first, the others by name: the order must not depend on who was ready first. */
function rank(results: readonly Result[], name: string): number {
  const names = [...new Set(results.map(({ library }) => library.name))].toSorted();
  return name === 'ringcache' ? -1 : names.indexOf(name);
}

export function behaviourTables(
  results: readonly Result[],
  played: readonly Scenario[],
  compared: readonly Library[],
): Table[] {
  const verdicts: Table = {
    title: 'Who passes (option: not by default; –: cannot be asked of it)',
    columns: [
      { key: 'claim', head: 'claim' },
      ...compared.map(({ name }) => ({ key: name, head: shortOf(name) })),
    ],
    rows: played.map((scenario) => ({
      claim: scenario.id,
      ...Object.fromEntries(
        compared.map((library) => [
          library.name,
          MARKS[resultOf(results, library, scenario).verdict],
        ]),
      ),
    })),
  };
  const seen: Table = {
    title: 'What was seen',
    columns: [
      { key: 'claim', head: 'claim' },
      { key: 'library', head: 'library' },
      { key: 'why', head: 'seen' },
    ],
    rows: notes(results, played, compared).map(({ scenario, library, text }) => ({
      claim: scenario.id,
      library: library.name,
      why: text,
    })),
  };
  return seen.rows.length === 0 ? [verdicts] : [verdicts, seen];
}

interface Note {
  readonly scenario: Scenario;
  readonly library: Library;
  readonly text: string;
}

function notes(
  results: readonly Result[],
  played: readonly Scenario[],
  compared: readonly Library[],
): Note[] {
  return played.flatMap((scenario) =>
    compared.flatMap((library) => {
      const { verdict, why, option } = resultOf(results, library, scenario);
      if (verdict === 'pass' || verdict === 'cannot') return [];
      const text = option === undefined ? `${why}` : `${why}; passes with ${option}`;
      return [{ scenario, library, text }];
    }),
  );
}

function resultOf(results: readonly Result[], library: Library, scenario: Scenario): Result {
  const found = results.find((one) => one.library === library && one.scenario === scenario);
  if (found === undefined) throw new Error(`${library.name} was not asked for ${scenario.id}`);
  return found;
}

function shortOf(name: string): string {
  return name.replace(/^@.*\//, '');
}

/** docs/comparison.md: without a date, so that it changes when an answer does. */
export function drawComparison(
  results: readonly Result[],
  played: readonly Scenario[],
  { compared, PEERS }: { compared: readonly Library[]; PEERS: readonly string[] },
): string {
  const { versions, node } = describeMachine(PEERS);
  const versionOf = (name: string): string => versions[name] ?? 'this commit';
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const verdicts = played.map((scenario) => {
    const cells = compared.map(
      (library) => PAGE_MARKS[resultOf(results, library, scenario).verdict],
    );
    return row([scenario.claim, ...cells]);
  });
  const seen = notes(results, played, compared).map(({ scenario, library, text }) =>
    row([`${shortOf(library.name)}: ${scenario.id}`, escapePipes(text)]),
  );
  const setUps = compared.map(
    (library) => `- **${library.name}** ${versionOf(library.name)}: ${library.setUp}`,
  );
  const tested = played.map(
    ({ claim, test }) => `- ${claim}: [${test.file.slice('test/'.length)}](../${test.file})`,
  );
  return `${[
    HEAD,
    row(['', ...compared.map(({ name }) => shortOf(name))]),
    row(['---', ...compared.map(() => ':---:')]),
    ...verdicts,
    '',
    '● holds by default · ◐ holds with an option that is not the default · ○ does not hold, set up as below · – cannot be asked of it',
    '',
    '## What was seen',
    '| library: claim | seen |',
    '|---|---|',
    ...seen,
    '',
    '## How each is set up',
    'As its own documentation says for memory in front of Redis and several processes, with its defaults wherever that names no',
    'value; in [bench/behaviour-libraries.ts](../bench/behaviour-libraries.ts). Most are good at what they promise: few of these claims are made by any of them.',
    '',
    ...setUps,
    `- ${['@keyv/redis', '@qified/redis', 'ioredis'].map((name) => `${name} ${versionOf(name)}`).join(', ')}, Node ${node}`,
    '',
    TAIL,
    '',
    '## The same as tests',
    ...tested,
  ].join('\n')}\n`;
}

const PAGE_MARKS = { pass: '●', fail: '○', 'with option': '◐', cannot: '–' } as const;

function escapePipes(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ');
}

const HEAD = `# What is true of a cache, and of which

A cache is easy while nothing happens at the same time. These are the sentences a user believes without asking, each played
against ringcache and six others: two processes, one real Redis, loads that are held open until the scenario lets them end.

\`\`\`sh
npm run bench -- behaviour          # in under a minute; exit code 1 when ringcache fails one
npm run bench -- behaviour --save   # writes this page, and bench/results/behaviour.json
\`\`\`
`;

const TAIL = `## What it does not say
Nothing about speed (that is in the README), and nothing about what only ringcache does, as there is no one to compare with: several
servers, a ring that changes, locks. And where we chose differently: what ringcache reads from memory is the object itself, shared and
to be left alone; bentocache and cacheable hand out copies.`;
