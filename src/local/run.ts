/** Runs a program to its end and answers what it printed. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** The largest list that apt prints is far below this. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

export interface RunOptions {
  readonly cwd?: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Rejects when the program cannot be run or does not exit with 0. */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { stdout } = await execute(program, [...args], {
    encoding: 'utf8',
    maxBuffer: MAX_OUTPUT_BYTES,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    // C: the output is read by us, not by a person.
    env: { ...process.env, LC_ALL: 'C', ...options.env },
  });
  return stdout;
}
