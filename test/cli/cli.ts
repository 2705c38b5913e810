/** The real command line, as a process of its own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, vi } from 'vitest';
import { run } from '../../src/cli/run.ts';
import { eventually } from '../support/eventually.ts';

// A process takes half a second to start, several on a busy machine, and a test starts several.
vi.setConfig({ testTimeout: 90_000 });

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
// Node before 22.18 has to be told to run .ts files.
const FLAGS = process.features.typescript ? [] : ['--experimental-strip-types', '--no-warnings'];

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Surroundings {
  readonly env?: Readonly<Record<string, string>>;
  /** Typed, or piped, into it. Without it there is nothing to read. */
  readonly input?: string;
}

/** A command line under way. */
export class Running {
  stdout = '';
  stderr = '';
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;

  constructor(command: string, args: readonly string[], { env, input }: Surroundings) {
    this.#child = spawn(command, args, {
      env: { ...bareEnvironment(), ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    // A test that fails half way leaves nothing running.
    onTestFinished(() => {
      this.#child.kill('SIGKILL');
    });
    const { stdin, stdout, stderr } = this.#child;
    stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    // It may have ended without having read it.
    stdin?.on('error', () => undefined);
    if (input === undefined) stdin?.end();
    else stdin?.write(input);
    this.ended = once(this.#child, 'close').then(([code, signal]) => {
      return { code, signal, stdout: this.stdout, stderr: this.stderr };
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves when stdout has such a text. */
  has(text: RegExp): Promise<void> {
    return eventually(() => expect(this.stdout).toMatch(text), { withinMs: 30_000 });
  }

  /** The same of stderr. */
  says(text: RegExp): Promise<void> {
    return eventually(() => expect(this.stderr).toMatch(text), { withinMs: 30_000 });
  }

  /** Nobody reads what it prints any more. */
  closeOutput(): void {
    this.#child.stdout?.destroy();
  }

  type(text: string): void {
    this.#child.stdin?.write(text);
  }
}

export function start(args: readonly string[], surroundings: Surroundings = {}): Running {
  return new Running(process.execPath, [...FLAGS, MAIN, ...args], surroundings);
}

/** Runs it to its end. */
export function cli(args: readonly string[], surroundings: Surroundings = {}): Promise<Ended> {
  return start(args, surroundings).ended;
}

/** The same within this process, which is faster: for what needs nothing of a process. */
export async function cliHere(args: readonly string[]): Promise<Ended> {
  const texts = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof texts): Writable =>
    new Writable({
      write(chunk, _, done) {
        texts[name] += String(chunk);
        done();
      },
    });
  const streams = { stdout: stream('stdout'), stderr: stream('stderr') };
  const code = await run(args, streams as unknown as Pick<NodeJS.Process, 'stdout' | 'stderr'>);
  return { code, signal: null, ...texts };
}

/** The result of a command with `--json` that must succeed. */
export async function cliJson<T>(
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<T> {
  const { code, stdout, stderr } = await cli([...args, '--json'], surroundings);
  if (code !== 0) throw new Error(`exit code ${code}: ${stderr}${stdout}`);
  return JSON.parse(stdout) as T;
}

/** Whether a pseudo terminal can be had: by `script` of util-linux. */
export const hasTerminal = ((): boolean => {
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux');
  } catch {
    return false;
  }
})();

/**
 * The same at a terminal of that size; what it prints on stderr is seen there, too.
 *
 * @param tellsPid Whether `pid <number>` of the command line stands before all else.
 */
export function startAtTerminal(
  args: readonly string[],
  {
    columns = 100,
    rows = 30,
    tellsPid = false,
    ...surroundings
  }: Surroundings & { columns?: number; rows?: number; tellsPid?: boolean } = {},
): Running {
  const words = [process.execPath, ...FLAGS, MAIN, ...args].map((word) => `'${word}'`);
  const tell = tellsPid ? 'echo pid $$; ' : '';
  const line = `stty cols ${columns} rows ${rows}; ${tell}exec ${words.join(' ')}`;
  const env = { TERM: 'xterm-256color', SHELL: '/bin/sh', ...surroundings.env };
  const input = surroundings.input ?? '';
  return new Running('script', ['--quiet', '--return', '--command', line, '/dev/null'], {
    env,
    input,
  });
}

/** What a program needs to run at all; nothing that changes what it prints (CI alone turns colours off). */
function bareEnvironment(): Record<string, string> {
  const names = ['PATH', 'HOME', 'TMPDIR', 'NODE_COMPILE_CACHE'];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

/** All `--node`s of a fleet. */
export function nodeArgs(nodes: readonly { id: string; url: string }[]): string[] {
  return nodes.flatMap(({ id, url }) => ['--node', `${id}=${url}`]);
}
