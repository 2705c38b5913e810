/** What a command takes, and how it is read from the command line. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { Output } from './screen.ts';
import { escaped } from './text.ts';

/** The command line is wrong: nothing was done. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** It could not be done. Exit code 1. */
export class FailedError extends Error {
  override readonly name = 'FailedError';
  readonly code: `RINGCACHE_${string}`;

  constructor(code: `RINGCACHE_${string}`, message: string) {
    super(message);
    this.code = code;
  }
}

export interface Option {
  readonly type: 'string' | 'boolean';
  readonly multiple?: boolean;
  /** What stands for the value in the help. */
  readonly value?: string;
  readonly about: string;
}

export type Options = Readonly<Record<string, Option>>;

export interface Call {
  readonly args: Args;
  readonly output: Output;
}

export interface Command {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** What stands after `ringcache`; one line each. */
  readonly usage: readonly string[];
  /** Paragraphs. */
  readonly about: readonly string[];
  readonly options: Options;
  /** Resolves to the exit code. */
  run(call: Call): Promise<number>;
}

/** Which nodes, and how it is printed: the same for every command. */
export const EVERYWHERE: Options = {
  node: {
    type: 'string',
    multiple: true,
    value: 'URL|ID=URL',
    about: 'a node of the fleet; one that answers is enough. May be repeated',
  },
  config: { type: 'string', value: 'FILE', about: 'JSON file with the options of createCache' },
  namespace: { type: 'string', value: 'NAME', about: "the cache's namespace (default: ringcache)" },
  json: { type: 'boolean', about: 'print JSON' },
  'no-color': { type: 'boolean', about: 'no colours (as with NO_COLOR)' },
  help: { type: 'boolean', about: 'print this' },
};

export class Args {
  readonly positionals: readonly string[];
  readonly #values: Readonly<Record<string, unknown>>;

  /** @throws UsageError */
  constructor(given: readonly string[], own: Options) {
    const options: NonNullable<ParseArgsConfig['options']> = {};
    for (const [name, { type, multiple = false }] of Object.entries({ ...EVERYWHERE, ...own })) {
      options[name] = { type, multiple };
    }
    try {
      const { values, positionals } = parseArgs({
        args: [...given],
        options,
        allowPositionals: true,
      });
      this.#values = values;
      this.positionals = positionals;
    } catch (error) {
      throw new UsageError(plainly(error));
    }
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    if (value === '') throw new UsageError(`--${name} must not be empty`);
    return typeof value === 'string' ? value : undefined;
  }

  all(name: string): string[] {
    const value = this.#values[name];
    return Array.isArray(value) ? value.map(String) : [];
  }

  /** @throws UsageError unless it is a number in the range. */
  number(name: string, range: { least: number; most: number }): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    const number = /^[0-9.]+$/.test(text) ? Number(text) : Number.NaN;
    if (number >= range.least && number <= range.most) return number;
    throw new UsageError(
      `--${name} must be a number of ${range.least} to ${range.most}, but is ${quoted(text)}`,
    );
  }

  /** @throws UsageError when there are positionals that the command does not take. */
  none(): void {
    const [first] = this.positionals;
    if (first !== undefined) throw new UsageError(`${quoted(first)} is not expected here`);
  }
}

export function quoted(text: string): string {
  const shown = escaped(text);
  return `'${shown.length > 60 ? `${shown.slice(0, 57)}...` : shown}'`;
}

/** The first sentence: what follows is advice about `--` that confuses more than it helps. */
function plainly(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const [first = message] = message.split('\n')[0]?.split(/\. (?=[A-Z])/) ?? [];
  return escaped(first.replace(/\.$/, ''));
}
