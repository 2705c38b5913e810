/**
 * The proof of what is read while the ring changes, at night:
 * `npm run prove -- ring [--fault NAME] [--seconds N] [--seed N] [--without PART] [--json]`.
 *
 * Exit codes: 0 every promise was kept, 1 one was broken, 2 usage.
 */
import { parseArgs } from 'node:util';
import { ProgressLine } from '../../support/prove/progress-line.ts';
import { FAULTS } from './faults.ts';
import { outcomeTable } from './outcome-table.ts';
import { broken, type Outcome, type Progress, run } from './run.ts';
import type { Fault } from './stage.ts';
import { WEAKNESSES, type Weakness } from './weaken.ts';

interface Flags {
  readonly faults: readonly Fault[];
  readonly seconds: number;
  readonly seed: number;
  readonly weakness: Weakness | undefined;
  readonly json: boolean;
}

const USAGE = `usage: npm run prove -- ring [--fault NAME] [--seconds NUMBER] [--seed NUMBER] [--without PART] [--json]

  --fault    only this one; may be given several times
  --seconds  how long each lasts at least (default 30)
  --seed     what is drawn: keys, times, victims, changes (default 1)
  --without  without a part of the protocol: the proof has to fail then
  --json     prints JSON only

${listOf(Object.fromEntries(FAULTS.map(({ name, about }) => [name, about])))}

parts that can be left out:
${listOf(WEAKNESSES)}
`;

/** Fewer faults than this prove little, however long it took. */
const LEAST_INJECTIONS = 3;

/** @param args What stands after `ring`. Resolves to the exit code. */
export async function proveRing(args: readonly string[]): Promise<number> {
  const flags = readFlags(args);
  if (flags === undefined) return 2;
  const { faults, json, ...size } = flags;
  const progress = new ProgressLine(process.stderr);
  const outcomes: Outcome[] = [];
  /** Runs that did not come to an end: a process that exits or hangs. */
  const failures: string[] = [];
  for (const fault of faults) {
    progress.begin(fault.name);
    const onProgress = ({ share, injected, changes }: Progress): void => {
      progress.show(share, `${injected} faults, ${changes} changes of the ring`);
    };
    const injections = fault.repetitions ?? LEAST_INJECTIONS;
    const outcome = await run({ ...size, fault, injections, onProgress }).catch(
      (error: unknown) => {
        failures.push(`${fault.name}, seed ${size.seed}: ${String(error)}`);
      },
    );
    progress.end();
    if (outcome === undefined) continue;
    outcomes.push(outcome);
    if (json) continue;
    for (const evidence of outcome.evidence) {
      console.log(`${fault.name}, seed ${size.seed}: ${evidence}\n`);
    }
  }
  console.log(json ? JSON.stringify(outcomes.map(plain), null, 2) : outcomeTable(outcomes));
  for (const outcome of outcomes) {
    const { fault, refusals, recoveries } = outcome;
    if (!json) process.stdout.write(told(fault, [...refusals, ...recoveries]));
    failures.push(...broken(outcome).map((what) => `${fault.name}, seed ${size.seed}: ${what}`));
  }
  for (const failure of failures) process.stderr.write(`${failure}\n`);
  return failures.length === 0 ? 0 : 1;
}

/** What was turned away or had to be recovered, and how often, a line each. */
function told({ name }: Fault, what: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const one of what) {
    const kind = one.replace(/\d+/g, 'N');
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return [...counts].map(([kind, count]) => `${name}: ${count} × ${kind}\n`).join('');
}

function plain({ fault, ...outcome }: Outcome): unknown {
  return { fault: fault.name, ...outcome };
}

function readFlags(args: readonly string[]): Flags | undefined {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        fault: { type: 'string', multiple: true, default: [] },
        seconds: { type: 'string', default: '30' },
        seed: { type: 'string', default: '1' },
        without: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false, short: 'h' },
      },
    });
    const { fault: names, without, json, help } = values;
    const [seconds, seed] = [Number(values.seconds), Number(values.seed)];
    const unknown = names.find((name) => !FAULTS.some((fault) => fault.name === name));
    const isKnown = unknown === undefined && (without === undefined || without in WEAKNESSES);
    if (isKnown && seconds > 0 && Number.isInteger(seed) && !help) {
      const faults = FAULTS.filter(({ name }) => names.length === 0 || names.includes(name));
      return { faults, seconds, seed, weakness: without as Weakness | undefined, json };
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
