/** The numbers and habits of the code, as checks of one file's text. */
import { functionsIn, lineOf, type Masked, mask } from './source-text.ts';

const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 60;
const MAX_POSITIONAL_PARAMETERS = 3;

export interface SourceFile {
  /** From the root of the repository on. */
  readonly path: string;
  readonly source: string;
}

interface Pattern {
  readonly rule: string;
  readonly pattern: RegExp;
  /** In which part of a file: comments and strings count in `source` alone. */
  readonly where: keyof Masked | 'source';
  /** Which files it is for. */
  readonly files: RegExp;
}

const EVERYWHERE = /^/;
const LIBRARY = /^src\//;
const LIBRARY_BUT_CLI = /^src\/(?!cli\/)/;
const LIBRARY_BUT_CLOCK = /^src\/(?!clock\.ts$|cli\/)/;

const PATTERNS: readonly Pattern[] = [
  { rule: 'no any', pattern: /(?<![.\w$])any(?![\w$:(])/g, where: 'code', files: EVERYWHERE },
  {
    rule: 'no enum',
    pattern: /^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?enum\s/gm,
    where: 'code',
    files: EVERYWHERE,
  },
  {
    rule: 'no namespace',
    pattern: /^\s*(?:export\s+)?(?:declare\s+)?namespace\s+[\w.]+\s*\{/gm,
    where: 'code',
    files: EVERYWHERE,
  },
  {
    rule: 'no default export',
    pattern: /\bexport\s+default\b|\bas\s+default\b/g,
    where: 'code',
    files: /^(?!config\/.*\.config\.ts$)/,
  },
  { rule: 'no export *', pattern: /\bexport\s+(?:type\s+)?\*/g, where: 'code', files: EVERYWHERE },
  {
    rule: 'timers only in clock.ts',
    pattern: /\b(?:setTimeout|setInterval|setImmediate)\b/g,
    where: 'code',
    files: LIBRARY_BUT_CLOCK,
  },
  {
    rule: 'timers only in clock.ts',
    pattern: /['"](?:node:)?timers(?:\/promises)?['"]/g,
    where: 'text',
    files: LIBRARY_BUT_CLOCK,
  },
  {
    rule: 'time only from clock.ts',
    pattern: /\bDate\s*\.\s*now\b|\bnew\s+Date\s*\(\s*\)|\bperformance\s*\.\s*now\b|\bhrtime\b/g,
    where: 'code',
    files: LIBRARY_BUT_CLOCK,
  },
  { rule: 'no console', pattern: /\bconsole\s*\./g, where: 'code', files: LIBRARY_BUT_CLI },
  {
    rule: 'non-null ! after an index only',
    pattern: /[\w$)]!(?![=:\w$])/g,
    where: 'code',
    files: LIBRARY,
  },
  {
    rule: 'nothing left to do',
    pattern: /\b(?:TODO|FIXME|XXX|HACK)\b(?=[:( ])/g,
    where: 'source',
    files: EVERYWHERE,
  },
  {
    rule: 'no test left out',
    pattern: /\.(?:only|todo|fails)\s*\(/g,
    where: 'code',
    files: /^test\//,
  },
];

/** Words that name nothing. */
const EMPTY_NAMES =
  /(?:^|[/-])(?:utils?|helpers?|common|types?|core|managers?|misc|shared)(?:\.test)?(?:\.ts|\/)/;
const KEBAB_PATH =
  /^(?:[a-z0-9]+(?:-[a-z0-9]+)*\/)*[a-z0-9]+(?:-[a-z0-9]+)*(?:\.(?:test|config|test-d))?\.ts$/;

/** Each violation as `path:line rule`, to be clicked at. */
export function violations(file: SourceFile): string[] {
  const masked = mask(file.source);
  return [
    ...nameViolations(file),
    ...patternViolations(file, masked),
    ...(/^(?:src|bench|demo)\//.test(file.path) ? functionViolations(file, masked) : []),
  ];
}

function nameViolations({ path, source }: SourceFile): string[] {
  const found: string[] = [];
  if (!KEBAB_PATH.test(path)) found.push(`${path}: file names are kebab-case`);
  if (EMPTY_NAMES.test(path)) found.push(`${path}: the name says nothing of what is in it`);
  const lines = source.trimEnd().split('\n').length;
  if (lines > MAX_FILE_LINES) found.push(`${path}: ${lines} lines, at most ${MAX_FILE_LINES}`);
  return found;
}

function patternViolations({ path, source }: SourceFile, masked: Masked): string[] {
  const lines = source.split('\n');
  return PATTERNS.filter(({ files }) => files.test(path)).flatMap(({ rule, pattern, where }) => {
    const text = where === 'source' ? source : masked[where];
    return [...text.matchAll(pattern)]
      .map((match) => lineOf(text, match.index + match[0].search(/\S/)))
      .filter((line) => rule !== 'no any' || !isExcused(lines, line))
      .map((line) => `${path}:${line} ${rule}`);
  });
}

/** An exception is written down, with its reason, where the linter demands it. */
function isExcused(lines: readonly string[], line: number): boolean {
  return /biome-ignore lint\/suspicious\/noExplicitAny: \S+/.test(lines[line - 2] ?? '');
}

function functionViolations({ path }: SourceFile, { code }: Masked): string[] {
  return functionsIn(code).flatMap(({ line, lines, parameters }) => {
    const found: string[] = [];
    if (lines > MAX_FUNCTION_LINES) {
      found.push(`${path}:${line} a function of ${lines} lines, at most ${MAX_FUNCTION_LINES}`);
    }
    // After three there may be an options object.
    const positional = /^options\b/.test(parameters.at(-1) ?? '')
      ? parameters.length - 1
      : parameters.length;
    if (positional > MAX_POSITIONAL_PARAMETERS) {
      found.push(
        `${path}:${line} ${positional} positional parameters, at most ${MAX_POSITIONAL_PARAMETERS}`,
      );
    }
    return found;
  });
}
