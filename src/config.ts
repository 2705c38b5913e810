/**
 * Options from a JSON file and the environment, for programs that are
 * configured from outside. What comes out is passed to `createCache`, which
 * checks it.
 *
 * `RINGCACHE_CONFIG`: path of a JSON file with the options of `createCache`.
 * `RINGCACHE_NODES`: nodes, separated by commas or spaces: `redis://h:p`, or
 * `id=redis://h:p`. Replaces the nodes of the file.
 * `RINGCACHE_USERNAME`, `RINGCACHE_PASSWORD`: for nodes whose URL has none.
 * `RINGCACHE_NAMESPACE`: replaces the namespace of the file.
 */
import { readFileSync } from 'node:fs';
import { InvalidOptionError } from './errors.ts';
import type { CacheOptions, NodeOptions } from './options.ts';

export interface ConfigSource {
  /** Path of the JSON file; goes before `RINGCACHE_CONFIG`. */
  file?: string;
  /** @default process.env */
  env?: Readonly<Record<string, string | undefined>>;
}

/**
 * @throws InvalidOptionError when the file cannot be read or is not JSON (with the line), or
 *   when neither a file nor `RINGCACHE_NODES` says which nodes there are.
 */
export function loadConfig(source: ConfigSource = {}): CacheOptions {
  const env = source.env ?? process.env;
  const file = source.file ?? env['RINGCACHE_CONFIG'];
  const options: Partial<CacheOptions> = file === undefined ? {} : readOptions(file);
  const listed = env['RINGCACHE_NODES'];
  const nodes = listed === undefined ? options.nodes : parseNodes(listed);
  if (nodes === undefined) {
    throw new InvalidOptionError(
      'nodes',
      'given by RINGCACHE_NODES (redis://host:port, …) or by the JSON file that RINGCACHE_CONFIG names',
      undefined,
    );
  }
  const namespace = env['RINGCACHE_NAMESPACE'];
  return {
    ...options,
    nodes: Array.isArray(nodes) ? nodes.map((node) => withLogin(node, env)) : nodes,
    ...(namespace === undefined ? {} : { namespace }),
  };
}

function readOptions(file: string): Partial<CacheOptions> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new InvalidOptionError('file', `a readable file (${code})`, file);
  }
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch (error) {
    // The message would show a piece of the file, and there may be a password in it.
    throw new InvalidOptionError('file', `valid JSON${placeOf(error, text)}`, file);
  }
  if (typeof found !== 'object' || found === null || Array.isArray(found)) {
    throw new InvalidOptionError('file', 'a JSON object of options', file);
  }
  // Lets editors check the file.
  const { $schema: _, ...options } = found as Record<string, unknown>;
  return options as Partial<CacheOptions>;
}

function placeOf(error: unknown, text: string): string {
  const position = Number(/position (\d+)/.exec(String(error))?.[1] ?? firstWrong(text));
  const before = text.slice(0, position).split('\n');
  return ` (line ${before.length}, column ${(before.at(-1) ?? '').length + 1})`;
}

/**
 * Where parsing stops. V8 tells some places only by a piece of the text: what
 * it calls unexpected is unexpected in every beginning of the text that
 * includes it, and in no shorter one.
 */
function firstWrong(text: string): number {
  let right = 0;
  let wrong = text.length + 1;
  while (wrong - right > 1) {
    const middle = Math.floor((right + wrong) / 2);
    if (hasUnexpected(text.slice(0, middle))) wrong = middle;
    else right = middle;
  }
  return right;
}

function hasUnexpected(text: string): boolean {
  try {
    JSON.parse(text);
    return false;
  } catch (error) {
    return String(error).includes('Unexpected token');
  }
}

function parseNodes(listed: string): Array<NodeOptions | string> {
  const nodes = listed.split(/[\s,]+/).filter((item) => item !== '');
  if (nodes.length === 0) {
    throw new InvalidOptionError('RINGCACHE_NODES', 'a list of redis://host:port', listed);
  }
  return nodes.map((item) => {
    const named = /^([^=/]+)=(.*)$/s.exec(item);
    return named === null ? item : { id: named[1] ?? '', url: named[2] ?? '' };
  });
}

function withLogin(
  node: NodeOptions | string,
  env: Readonly<Record<string, string | undefined>>,
): NodeOptions | string {
  const password = env['RINGCACHE_PASSWORD'];
  // Nothing is checked yet: in a file, null may stand where a node should.
  const url = typeof node === 'string' ? node : (node as NodeOptions | null)?.url;
  if (password === undefined || typeof url !== 'string' || /:\/\/[^/]*@/.test(url)) return node;
  const user = encodeURIComponent(env['RINGCACHE_USERNAME'] ?? '');
  const login = `://${user}:${encodeURIComponent(password)}@`;
  const full = url.replace('://', login);
  return typeof node === 'string' ? full : { ...node, url: full };
}
