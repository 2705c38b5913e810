/**
 * Runs benchmarks: `npm run bench -- [NAME …] [--small] [--json] [--save]`.
 *
 * Exit codes: 0 all ran, 1 one failed (wrong answers, not slow ones), 2 usage.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Bench, Report } from './bench.ts';
import { describeMachine, type Machine, machineLine, ROOT } from './machine.ts';
import { benches } from './registry.ts';
import { formatTable, wrap } from './report.ts';

interface Result extends Report {
  readonly name: string;
  readonly about: string;
  readonly small: boolean;
  readonly seconds: number;
  readonly machine: Machine;
}

const USAGE = `usage: npm run bench -- [NAME …] [--small] [--json] [--save]

  --small  quick, to see that it works; the figures mean nothing
  --json   prints JSON only
  --save   also writes bench/results/NAME.json, reports and the images of the docs

${benches.map(({ name, about }) => `  ${name.padEnd(16)}${about}`).join('\n')}
`;

async function main(): Promise<number> {
  const flags = readFlags();
  if (flags === undefined) return 2;
  const { small, json, save } = flags;
  if (flags.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const unknown = flags.names.filter((name) => !benches.some((bench) => bench.name === name));
  if (unknown.length > 0) return usage(`unknown benchmark: ${unknown.join(', ')}`);
  if (save && small) return usage('the figures of --small are not worth saving');
  const wanted = benches.filter(
    ({ name }) => flags.names.length === 0 || flags.names.includes(name),
  );
  const results: Result[] = [];
  for (const bench of wanted) {
    const result = await runOne(bench, small);
    results.push(result);
    if (!json) console.log(format(result));
    if (result.wrong !== undefined) process.stderr.write(`${result.name}: ${result.wrong}\n`);
    else if (save) saveResult(result);
  }
  if (json) console.log(JSON.stringify(results.map(withoutTexts), null, 2));
  return results.some(({ wrong }) => wrong !== undefined) ? 1 : 0;
}

function readFlags():
  | { names: string[]; small: boolean; json: boolean; save: boolean; help: boolean }
  | undefined {
  const flag = { type: 'boolean', default: false } as const;
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { small: flag, json: flag, save: flag, help: { ...flag, short: 'h' } },
    });
    return { ...values, names: positionals };
  } catch (error) {
    usage(error instanceof Error ? error.message : String(error));
    return undefined;
  }
}

function usage(problem: string): number {
  process.stderr.write(`${problem}\n\n${USAGE}`);
  return 2;
}

async function runOne(bench: Bench, small: boolean): Promise<Result> {
  const start = performance.now();
  const report = await bench.run({
    small,
    parameter: (smallValue, fullValue) => (small ? smallValue : fullValue),
    progress: (text) => {
      if (process.stderr.isTTY) process.stderr.write(`${bench.name}: ${text}\n`);
    },
  });
  const seconds = Math.round((performance.now() - start) / 100) / 10;
  const machine = describeMachine(report.peers ?? []);
  return { name: bench.name, about: bench.about, small, seconds, machine, ...report };
}

function format(result: Result): string {
  const parts = [`${result.name}: ${result.about}`];
  if (result.small) parts.push('(--small: it works; the figures mean nothing)');
  parts.push('', wrap(result.summary), '');
  for (const table of result.tables) parts.push(formatTable(table), '');
  if (result.targets !== undefined) parts.push(formatTable(targetTable(result.targets)), '');
  const parameters = Object.entries(result.parameters).map(([name, value]) => `${name} ${value}`);
  parts.push(
    `parameters: ${parameters.join(', ')}`,
    `machine: ${machineLine(result.machine)}`,
    `checksum ${result.checksum}, ${result.seconds} s\n`,
  );
  return parts.join('\n');
}

function targetTable(targets: NonNullable<Report['targets']>): Parameters<typeof formatTable>[0] {
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

function saveResult(result: Result): void {
  write(`bench/results/${result.name}.json`, `${JSON.stringify(withoutTexts(result), null, 2)}\n`);
  for (const { file, text } of result.files ?? []) write(file, text);
}

function withoutTexts(result: Result): unknown {
  return { ...result, files: result.files?.map(({ file }) => file) };
}

function write(file: string, text: string): void {
  const path = join(ROOT, file);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  process.stderr.write(`wrote ${file}\n`);
}

process.exitCode = await main();
