// What the documents say to type is compiled, and what they point at is there.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';

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

/** What the compiler says of some code of a reader of ours; nothing when it is content. */
function complaintsOf(code: string): string {
  writeFileSync(join(folder, 'example.mts'), `${GIVEN}${code}\nexport {};\n`);
  const paths = { ringcache: [`${root}src/index.ts`], 'ringcache/local': [`${root}src/local.ts`] };
  const config = {
    extends: `${root}tsconfig.json`,
    compilerOptions: {
      paths,
      incremental: false,
      tsBuildInfoFile: null,
      typeRoots: [`${root}node_modules/@types`],
    },
    include: ['example.mts'],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  try {
    execFileSync(process.execPath, [`${root}node_modules/typescript/bin/tsc`, '-p', folder]);
    return '';
  } catch (error) {
    return String((error as { stdout?: Buffer }).stdout);
  }
}

const examples = documents.flatMap((path) =>
  [...textOf(path).matchAll(/```ts\n([\s\S]*?)```/g)].map((found, i): [string, string] => [
    `${path}, ${i + 1}`,
    found[1] ?? '',
  ]),
);

describe('the examples', () => {
  test('are there to be compiled', () => {
    expect(examples.length).toBeGreaterThanOrEqual(2);
  });

  test.each(examples)('%s compiles', (_, code) => {
    expect(complaintsOf(code)).toBe('');
  });

  test('would be refused if they did not', () => {
    const wrong =
      "import { createCache } from 'ringcache';\nawait createCache({ nodes: [], tll: '5m' });";
    expect(complaintsOf(wrong)).toContain("'tll' does not exist");
  });
});

test.each(documents)('every link in %s leads somewhere', (path) => {
  const links = [...textOf(path).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map((found) => found[1] ?? '');
  const dead = links.filter(
    (link) => !/^https?:/.test(link) && !existsSync(resolve(root, dirname(path), link)),
  );
  expect(dead).toEqual([]);
});
