// What the documents say to type is compiled, and what they point at is there.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const execute = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
const documents = [
  ...['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md'],
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');

const folder = mkdtempSync(join(tmpdir(), 'ringcache-docs-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What examples take for granted. */
const GIVEN = `
declare global {
  const db: {
    users: { find(id: number): Promise<{ name: string }> };
    stock: { take(sku: string, fence: number): Promise<number> };
    report(): Promise<void>;
  };
  const locks: import('ringcache').Locks;
  const redis: import('ringcache').EvalClient;
}
`;

const examples = documents.flatMap((path) =>
  [...textOf(path).matchAll(/```ts\n([\s\S]*?)```/g)].map((found, i): [string, string] => [
    `${path}, ${i + 1}`,
    found[1] ?? '',
  ]),
);
const WRONG: [string, string] = [
  'wrong',
  "import { createCache } from 'ringcache';\nawait createCache({ nodes: [], tll: '5m' });",
];

/** What the compiler says of each of some codes of a reader of ours; nothing where it is content. One program: most of its time goes to our own sources. */
async function complaintsOf(codes: readonly (readonly [string, string])[]) {
  writeFileSync(join(folder, 'given.mts'), `${GIVEN}\nexport {};\n`);
  for (const [i, [, code]] of codes.entries()) {
    writeFileSync(join(folder, `example-${i}.mts`), `${code}\nexport {};\n`);
  }
  const paths = { ringcache: [`${root}src/index.ts`], 'ringcache/local': [`${root}src/local.ts`] };
  const config = {
    extends: `${root}tsconfig.json`,
    compilerOptions: {
      paths,
      incremental: false,
      tsBuildInfoFile: null,
      typeRoots: [`${root}node_modules/@types`],
    },
    include: ['*.mts'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  const tsc = [`${root}node_modules/typescript/bin/tsc`, '-p', folder, '--pretty', 'false'];
  const said = await execute(process.execPath, tsc).then(
    ({ stdout }) => stdout,
    (error: unknown) => String((error as { stdout?: string }).stdout),
  );
  const complaints = new Map(codes.map(([name]) => [name, '']));
  // What it says of anything else would be lost else.
  let rest = said;
  for (const [i, [name]] of codes.entries()) {
    const own = new RegExp(`^\\S*example-${i}\\.mts\\(.*\\n(?: .*\\n)*`, 'gm');
    complaints.set(name, (rest.match(own) ?? []).join(''));
    rest = rest.replace(own, '');
  }
  return { complaints, rest };
}

describe('the examples', () => {
  let compiled: Awaited<ReturnType<typeof complaintsOf>>;
  beforeAll(async () => {
    compiled = await complaintsOf([...examples, WRONG]);
  });

  test('are there to be compiled', () => {
    expect(examples.length).toBeGreaterThanOrEqual(2);
    expect(compiled.rest).toBe('');
  });

  test.each(examples)('%s compiles', (name) => {
    expect(compiled.complaints.get(name)).toBe('');
  });

  test('would be refused if they did not', () => {
    expect(compiled.complaints.get('wrong')).toContain("'tll' does not exist");
  });
});

test.each(documents)('every link in %s leads somewhere', (path) => {
  const links = [...textOf(path).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map((found) => found[1] ?? '');
  const dead = links.filter(
    (link) => !/^https?:/.test(link) && !existsSync(resolve(root, dirname(path), link)),
  );
  expect(dead).toEqual([]);
});
