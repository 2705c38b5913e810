/**
 * The floors of the house (DESIGN.md, section 3): which room a file is in, and
 * what it may import.
 */

export interface Room {
  readonly floor: number;
  readonly room: string;
}

// A file or folder directly in src/, and where it belongs. What is not listed
// has no place yet: give it one here, on purpose.
const ROOMS: ReadonlyArray<readonly [name: RegExp, floor: number, room: string]> = [
  [/^cli\//, 8, 'cli'],
  [/^(?:index|local|prometheus|keyv)\.ts$/, 7, ''],
  [/^(?:cache\.ts|cache\/|locks\.ts)/, 6, 'cache'],
  [/^(?:options(?:-[a-z-]+)?\.ts|options\/|config\.ts|events\.ts)/, 5, 'options'],
  [/^load\//, 4, 'load'],
  [/^lock\//, 4, 'lock'],
  [/^topology\//, 3, 'topology'],
  [/^node\//, 2, 'node'],
  [/^ring\//, 1, 'ring'],
  [/^memory\//, 1, 'memory'],
  [/^local\//, 1, 'local'],
  [/^(?:errors|clock|duration|emitter|keys)\.ts$/, 0, 'ground'],
  [/^metrics\//, 0, 'metrics'],
];

/** @param path From src/ on, with slashes. */
export function roomOf(path: string): Room | undefined {
  const found = ROOMS.find(([name]) => name.test(path));
  if (found === undefined) return undefined;
  // Rooms without a name are single files: each is a room of its own.
  return { floor: found[1], room: found[2] === '' ? path : found[2] };
}

/** Who may import a package: a test of the path from src/ on. */
const PACKAGES: Readonly<Record<string, RegExp>> = {
  ioredis: /^node\//,
  opossum: /^node\//,
  '@msgpack/msgpack': /^node\//,
  'xxhash-wasm': /^ring\//,
  'lru-cache': /^memory\//,
  valibot: /(?:^|\/)(?:options[a-z-]*|config)\.ts$|^options\//,
  'prom-client': /^prometheus\.ts$/,
  keyv: /^keyv\.ts$/,
};

/** Why `path` may not import `specifier`; undefined when it may. */
export function refusal(path: string, specifier: string): string | undefined {
  if (specifier.startsWith('node:')) return undefined;
  if (!specifier.startsWith('.')) {
    const allowed = PACKAGES[specifier];
    if (allowed === undefined) return `imports ${specifier}, which is no dependency of ours`;
    return allowed.test(path) ? undefined : `imports ${specifier}, which only ${allowed} may`;
  }
  if (!specifier.endsWith('.ts')) return `imports ${specifier} without .ts`;
  const target = new URL(specifier, `file:///src/${path}`).pathname.slice('/src/'.length);
  const [from, to] = [roomOf(path), roomOf(target)];
  if (from === undefined || to === undefined) return `imports ${target}: one of them has no floor`;
  if (from.room === to.room) return undefined;
  if (from.room === 'cli')
    return to.floor === 7 ? undefined : `imports ${target}: cli imports entry points only`;
  if (to.floor >= from.floor) {
    return `(${from.room}, floor ${from.floor}) imports ${target} (${to.room}, floor ${to.floor})`;
  }
  return undefined;
}

/** What a file imports and exports from elsewhere, types too. */
export function importsOf(text: string): string[] {
  const from = /\b(?:import|export)\b(?:[^;'"]*?\bfrom)?\s*\(?\s*(['"])([^'"\n]+)\1/g;
  return [...text.matchAll(from)].map((match) => match[2] ?? '');
}
