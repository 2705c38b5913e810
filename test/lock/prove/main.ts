/**
 * The proof of the locks at night: `npm run prove -- locks [--fault NAME] [--acquisitions N] [--seed N] [--quorum] [--json]`.
 *
 * Runs each fault until so many locks were acquired, and judges what the
 * processes wrote down.
 *
 * Exit codes: 0 every promise was kept, 1 one was broken, 2 usage.
 */
import { parseArgs } from 'node:util';
import { ProgressLine } from '../../support/prove/progress-line.ts';
import { FAULTS, type Fault } from './faults.ts';
import { outcomeTable } from './outcome-table.ts';
import { isDead, isLate, LATE_MS, type Outcome, type Progress, run } from './run.ts';

interface Flags {
  readonly faults: readonly Fault[];
  readonly acquisitions: number;
  readonly seed: number;
  readonly quorum: boolean;
  readonly json: boolean;
}

const USAGE = `usage: npm run prove -- locks [--fault NAME] [--acquisitions NUMBER] [--seed NUMBER] [--quorum] [--json]

  --fault         only this one; may be given several times
  --acquisitions  locks to acquire with each fault (default 100000)
  --seed          what is drawn: names, times, victims (default 1)
  --quorum        locks on a majority of three nodes instead of a ring of two
  --json          prints JSON only

${FAULTS.map(({ name, about }) => `  ${name.padEnd(16)}${about}`).join('\n')}
`;

/** Fewer faults than this prove little, however many locks there were. */
const LEAST_INJECTIONS = 3;

/** @param args What stands after `locks`. Resolves to the exit code. */
export async function proveLocks(args: readonly string[]): Promise<number> {
  const flags = readFlags(args);
  if (flags === undefined) return 2;
  const { faults, json, ...size } = flags;
  const progress = new ProgressLine(process.stderr);
  const outcomes: Outcome[] = [];
  for (const fault of faults) {
    progress.begin(fault.name);
    const injections = fault.inject === undefined ? 0 : LEAST_INJECTIONS;
    const onProgress = ({ acquired, injected }: Progress): void => {
      const text = `${acquired} of ${size.acquisitions} acquired, ${injected} faults`;
      progress.show(acquired / size.acquisitions, text);
    };
    const outcome = await run({ ...size, fault, injections, onProgress });
    progress.end();
    outcomes.push(outcome);
    if (json) continue;
    for (const evidence of outcome.evidence) {
      console.log(`${fault.name}, seed ${size.seed}: ${evidence}\n`);
    }
  }
  console.log(json ? JSON.stringify(outcomes.map(plain), null, 2) : outcomeTable(outcomes));
  for (const { fault } of outcomes.filter(isLate)) {
    process.stderr.write(`${fault.name}: something came more than ${LATE_MS} ms too late\n`);
  }
  for (const { fault, verdict } of outcomes.filter(isDead)) {
    process.stderr.write(
      `${fault.name}: ${verdict.dead} locks were over when they were given out\n`,
    );
  }
  const isKept = (outcome: Outcome): boolean =>
    outcome.verdict.violations.length === 0 && !isLate(outcome) && !isDead(outcome);
  return outcomes.every(isKept) ? 0 : 1;
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
        acquisitions: { type: 'string', default: '100000' },
        seed: { type: 'string', default: '1' },
        quorum: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false, short: 'h' },
      },
    });
    const unknown = values.fault.find((name) => !FAULTS.some((fault) => fault.name === name));
    const acquisitions = Number(values.acquisitions);
    const seed = Number(values.seed);
    const areIntegers = Number.isInteger(acquisitions) && Number.isInteger(seed);
    if (unknown === undefined && areIntegers && acquisitions > 0 && !values.help) {
      const isWanted = ({ name }: Fault): boolean =>
        values.fault.length === 0 || values.fault.includes(name);
      const { quorum, json } = values;
      return { faults: FAULTS.filter(isWanted), acquisitions, seed, quorum, json };
    }
    if (unknown !== undefined) process.stderr.write(`unknown fault: ${unknown}\n\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n`);
  }
  process.stderr.write(USAGE);
  return undefined;
}
