/** From the words of the command line to a command, and from what it did to an exit code: 0 done, 1 failed, 2 usage. */
import { readFileSync } from 'node:fs';
import {
  InvalidKeyError,
  InvalidOptionError,
  NodeUnavailableError,
  RingCacheError,
} from '../index.ts';
import { bench } from './bench.ts';
import { explain } from './explain.ts';
import { familyHelp, helpOf, overview } from './help.ts';
import { plan } from './plan.ts';
import { ring } from './ring.ts';
import { type Output, printJson, Screen } from './screen.ts';
import { escaped, wrap } from './text.ts';
import { top } from './top.ts';
import { topologyCommands } from './topology.ts';
import { Args, type Command, FailedError, quoted, UsageError } from './usage.ts';

const COMMANDS: readonly Command[] = [ring, plan, ...topologyCommands, explain, top, bench];

/** Resolves to the exit code. Never rejects. */
export async function run(
  argv: readonly string[],
  streams: Pick<NodeJS.Process, 'stdout' | 'stderr'> = process,
): Promise<number> {
  const colour = !argv.includes('--no-color');
  const output: Output = {
    out: new Screen(streams.stdout, { colour }),
    err: new Screen(streams.stderr, { colour }),
    json: argv.includes('--json'),
  };
  let command: Command | undefined;
  try {
    if (isHelp(argv)) return help(output, argv);
    if (argv[0] === '--version') {
      output.out.print(version());
      return 0;
    }
    const found = find(argv);
    command = found.command;
    const args = new Args(found.rest, command.options);
    if (args.flag('help')) {
      output.out.print(...helpOf(command, output.out));
      return 0;
    }
    return await command.run({ args, output });
  } catch (error) {
    return report(error, output, command);
  }
}

function isHelp([first]: readonly string[]): boolean {
  return first === undefined || first === 'help' || first === '--help' || first === '-h';
}

/** `help`, `help COMMAND`; nothing at all is no error, but not what anybody wanted either. */
function help({ out, err }: Output, argv: readonly string[]): number {
  const words = argv.slice(1).filter((word) => !word.startsWith('-'));
  if (words.length > 0) {
    const wanted = COMMANDS.filter(({ name }) => `${name} `.startsWith(`${words.join(' ')} `));
    const [only, ...others] = wanted;
    if (only === undefined) throw unknown(words);
    out.print(...(others.length === 0 ? helpOf(only, out) : familyHelp(wanted, out)));
    return 0;
  }
  const screen = argv.length === 0 ? err : out;
  screen.print(...overview(COMMANDS, screen));
  return argv.length === 0 ? 2 : 0;
}

/** The command whose name the line begins with: of one word or two. */
function find(argv: readonly string[]): { command: Command; rest: string[] } {
  const [first = '', second = ''] = argv;
  if (first.startsWith('-'))
    throw new UsageError('the command comes first: ringcache COMMAND [OPTIONS]');
  for (const [name, words] of [
    [first, 1],
    [`${first} ${second}`, 2],
  ] as const) {
    const command = COMMANDS.find((candidate) => candidate.name === name);
    if (command !== undefined) return { command, rest: argv.slice(words) };
  }
  const family = COMMANDS.filter(({ name }) => name.startsWith(`${first} `));
  if (family.length === 0) throw unknown([first]);
  const kinds = family.map(({ name }) => name.slice(first.length + 1)).join(', ');
  if (second === '' || second.startsWith('-')) throw new UsageError(`${first}: one of ${kinds}`);
  throw new UsageError(`${first} ${quoted(second)} is unknown; there are ${kinds}`);
}

function unknown(words: readonly string[]): UsageError {
  const names = [...new Set(COMMANDS.map(({ name }) => name.split(' ')[0]))];
  return new UsageError(`${quoted(words.join(' '))} is no command; there are ${names.join(', ')}`);
}

function version(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  return String(Object(manifest).version);
}

/** Says what went wrong, on stderr for people and with `--json` on stdout for programs. */
function report(error: unknown, output: Output, command: Command | undefined): number {
  const isUsage =
    error instanceof UsageError ||
    error instanceof InvalidOptionError ||
    error instanceof InvalidKeyError;
  const message = messageOf(error);
  if (output.json) printJson(output, { error: { code: codeOf(error), message } });
  const { err } = output;
  const hint = hintFor(error, command);
  const width = err.isTerminal ? err.width : Number.POSITIVE_INFINITY;
  const lines = wrap(`ringcache: ${message}`, width);
  err.print(err.paint('red', lines.join('\n')), ...placeOf(error));
  if (hint !== '') err.print(...wrap(hint, width));
  return isUsage ? 2 : 1;
}

function isKnown(error: unknown): boolean {
  return (
    error instanceof RingCacheError || error instanceof UsageError || error instanceof FailedError
  );
}

function messageOf(error: unknown): string {
  return escaped(error instanceof Error ? error.message : String(error));
}

/** Where something happened that nobody foresaw: it is a bug of ours. */
function placeOf(error: unknown): string[] {
  if (isKnown(error) || !(error instanceof Error)) return [];
  return (error.stack ?? '').split('\n').slice(1).map(escaped);
}

function codeOf(error: unknown): string {
  if (error instanceof UsageError) return 'RINGCACHE_USAGE';
  if (error instanceof RingCacheError || error instanceof FailedError) return error.code;
  return 'RINGCACHE_INTERNAL';
}

function hintFor(error: unknown, command: Command | undefined): string {
  if (error instanceof UsageError) {
    return `See: ringcache help${command === undefined ? '' : ` ${command.name}`}`;
  }
  if (error instanceof NodeUnavailableError && /NOAUTH|WRONGPASS|NOPERM/.test(error.message)) {
    return 'Set RINGCACHE_PASSWORD (and RINGCACHE_USERNAME), or write the login into the file of --config.';
  }
  return '';
}
