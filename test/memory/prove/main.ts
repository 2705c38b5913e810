/**
 * The proof of what the in-process tier shows, at night:
 * `npm run prove -- memory [--seconds N] [--seed N] [--max-stale MS] [--fault NAME] [--without PART] [--json]`.
 *
 * Exit codes: 0 every promise was kept, 1 one was broken, 2 usage.
 */
import { parseArgs } from 'node:util';
import { ProgressLine } from '../../support/prove/progress-line.ts';
import { FAULTS } from './faults.ts';
import { injectedTable, outcomeTable } from './outcome-table.ts';
import { broken, type Outcome, run } from './run.ts';
import type { Fault } from './stage.ts';
import { WEAKNESSES, type Weakness } from './weaken.ts';

interface Flags {
  readonly faults: readonly Fault[];
  readonly seconds: number;
  readonly seed: number;
  /** A run for each. */
  readonly bounds: readonly number[];
  readonly weakness: Weakness | undefined;
  readonly json: boolean;
  readonly history: string | undefined;
}

const BOUNDS = [1_000, 300];

const USAGE = `usage: npm run prove -- memory [--seconds NUMBER] [--seed NUMBER] [--max-stale MS] [--fault NAME] [--without PART] [--history FILE] [--json]

  --seconds    how long each run lasts (default 30)
  --seed       what is drawn: keys, times, faults, victims (default 1)
  --max-stale  how far memory may be behind; may be given several times (default ${BOUNDS.join(' and ')}, a run each)
  --fault      only this one; may be given several times
  --without    without a part of what keeps memory honest: the proof has to fail then
  --history    a file to write all events to, those of the last run
  --json       prints JSON only

${listOf(Object.fromEntries(FAULTS.map(({ name, about }) => [name, about])))}

parts that can be left out:
${listOf(WEAKNESSES)}
`;

/** @param args What stands after `memory`. Resolves to the exit code. */
export async function proveMemory(args: readonly string[]): Promise<number> {
  const flags = readFlags(args);
  if (flags === undefined) return 2;
  const { bounds, json, ...size } = flags;
  const progress = new ProgressLine(process.stderr);
  const outcomes: Outcome[] = [];
  /** Also runs that did not come to an end: a process that exits or hangs. */
  const failures: string[] = [];
  for (const maxStaleMs of bounds) {
    const name = `seed ${size.seed}, at most ${maxStaleMs} ms behind`;
    progress.begin(name);
    const onProgress = ({ share, injected }: { share: number; injected: number }): void => {
      progress.show(share, `${injected} faults`);
    };
    const outcome = await run({ ...size, maxStaleMs, onProgress }).catch((error: unknown) => {
      failures.push(`${name}: ${String(error)}`);
    });
    progress.end();
    if (outcome === undefined) continue;
    outcomes.push(outcome);
    failures.push(...broken(outcome).map((what) => `${name}: ${what}`));
    if (json) continue;
    for (const evidence of outcome.evidence) console.log(`${name}: ${evidence}\n`);
  }
  if (json) console.log(JSON.stringify(outcomes, null, 2));
  else console.log(`${injectedTable(outcomes)}\n\n${outcomeTable(outcomes)}`);
  for (const failure of failures) process.stderr.write(`${failure}\n`);
  return failures.length === 0 ? 0 : 1;
}

function readFlags(args: readonly string[]): Flags | undefined {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        seconds: { type: 'string', default: '30' },
        seed: { type: 'string', default: '1' },
        'max-stale': { type: 'string', multiple: true, default: BOUNDS.map(String) },
        fault: { type: 'string', multiple: true, default: FAULTS.map(({ name }) => name) },
        without: { type: 'string' },
        history: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false, short: 'h' },
      },
    });
    const { fault: names, without, history, json, help } = values;
    const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
    const bounds = values['max-stale'].map(Number);
    const unknown = names.find((name) => !FAULTS.some((fault) => fault.name === name));
    const isKnown = unknown === undefined && (without === undefined || without in WEAKNESSES);
    const isSized = seconds > 0 && Number.isInteger(seed) && bounds.every((bound) => bound > 0);
    if (isKnown && isSized && !help) {
      const faults = FAULTS.filter(({ name }) => names.includes(name));
      const weakness = without as Weakness | undefined;
      return { faults, seconds, seed, bounds, weakness, history, json };
    }
    if (unknown !== undefined) process.stderr.write(`unknown fault: ${unknown}\n\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n`);
  }
  process.stderr.write(USAGE);
  return undefined;
}

function listOf(all: Readonly<Record<string, string>>): string {
  return Object.entries(all)
    .map(([name, about]) => `  ${name.padEnd(20)}${about}`)
    .join('\n');
}
