/** What is said when somebody asks how. */
import type { Screen } from './screen.ts';
import { padEnd, wrap } from './text.ts';
import { type Command, EVERYWHERE, type Options } from './usage.ts';

const INDENT = '  ';

export function overview(commands: readonly Command[], screen: Screen): string[] {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    'ringcache: look at a fleet of cache nodes, and change its ring',
    '',
    ...title('Usage', screen),
    `${INDENT}ringcache COMMAND [OPTIONS]`,
    '',
    ...title('Commands', screen),
    ...commandLines(commands),
    `${INDENT}${padEnd('help', width)}  this, or help COMMAND`,
    `${INDENT}${padEnd('--version', width)}  the version`,
    '',
    ...title('Which nodes', screen),
    ...optionLines(EVERYWHERE, screen),
    '',
    ...wrap(
      'Without --node and --config: RINGCACHE_NODES, or the file that RINGCACHE_CONFIG names. Passwords: RINGCACHE_PASSWORD ' +
        '(and RINGCACHE_USERNAME) or that file, never on the command line.',
      screen.width,
    ),
    'Exit code: 0 done, 1 failed, 2 the command line is wrong.',
  ];
}

/** Of the commands that begin with the same word. */
export function familyHelp(commands: readonly Command[], screen: Screen): string[] {
  return [
    ...title('Commands', screen),
    ...commandLines(commands),
    '',
    ...commands.slice(-1).map(({ name }) => `More: ringcache help ${name}`),
  ];
}

function commandLines(commands: readonly Command[]): string[] {
  const width = Math.max(...commands.map(({ name }) => name.length));
  return commands.map(({ name, summary }) => `${INDENT}${padEnd(name, width)}  ${summary}`);
}

export function helpOf(command: Command, screen: Screen): string[] {
  return [
    `ringcache ${command.name}: ${command.summary}`,
    '',
    ...title('Usage', screen),
    ...command.usage.map((line) => `${INDENT}ringcache ${line}`),
    '',
    ...command.about.flatMap((paragraph) => [...wrap(paragraph, screen.width), '']),
    ...title('Options', screen),
    ...optionLines({ ...command.options, ...EVERYWHERE }, screen),
    '',
  ];
}

function title(text: string, screen: Screen): string[] {
  return [screen.paint('bold', text)];
}

function optionLines(options: Options, screen: Screen): string[] {
  const names = Object.entries(options).map(([name, { value }]) =>
    value === undefined ? `--${name}` : `--${name} ${value}`,
  );
  const width = Math.max(...names.map((name) => name.length));
  const room = Math.max(20, screen.width - width - 2 * INDENT.length);
  return Object.values(options).flatMap(({ about }, i) => {
    const [first = '', ...rest] = wrap(about, room);
    const blank = ' '.repeat(width);
    return [names[i] ?? '', ...rest.map(() => blank)].map(
      (name, line) => `${INDENT}${padEnd(name, width)}${INDENT}${[first, ...rest][line] ?? ''}`,
    );
  });
}
