/**
 * Fetches redis-server through apt without root: the packages are downloaded
 * and unpacked into a cache folder; nothing is installed and nothing outside
 * that folder changes. apt itself checks the signed hashes.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './run.ts';

export interface Unpacked {
  readonly path: string;
  /** What the server needs in its environment to find the libraries unpacked beside it. */
  readonly env: Readonly<Record<string, string>>;
}

export function aptExists(): boolean {
  return existsSync('/usr/bin/apt-get') && existsSync('/usr/bin/dpkg-deb');
}

/** What an earlier fetch left in `cacheDir`, if it runs on this system. */
export async function unpackedServer(cacheDir: string): Promise<Unpacked | undefined> {
  const found = inFolder(join(cacheDir, 'root'));
  if (!existsSync(found.path)) return undefined;
  try {
    await run(found.path, ['--version'], { env: found.env });
    return found;
  } catch {
    // Fetched for another release or architecture: a home folder outlives a system.
    return undefined;
  }
}

/** Rejects when apt cannot do it: offline, no package lists, no such package. */
export async function fetchServer(
  cacheDir: string,
  log: (line: string) => void,
): Promise<Unpacked> {
  mkdirSync(cacheDir, { recursive: true });
  const stage = mkdtempSync(join(cacheDir, 'stage-'));
  try {
    const names = await download(cacheDir, stage, log);
    const fresh = join(stage, 'root');
    for (const file of readdirSync(stage).filter((name) => name.endsWith('.deb'))) {
      await run('dpkg-deb', ['-x', join(stage, file), fresh]);
    }
    await publish(cacheDir, fresh);
    log(`unpacked ${names.join(', ')} into ${cacheDir}`);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
  const server = await unpackedServer(cacheDir);
  if (server === undefined) throw new Error('the redis-server that apt delivered does not run');
  return server;
}

// Two processes may be here at once: rename is atomic, and the one that comes
// second uses what the first has put there.
async function publish(cacheDir: string, fresh: string): Promise<void> {
  const root = join(cacheDir, 'root');
  if ((await unpackedServer(cacheDir)) !== undefined) return;
  rmSync(root, { recursive: true, force: true });
  try {
    renameSync(fresh, root);
  } catch (error) {
    if ((await unpackedServer(cacheDir)) === undefined) throw error;
  }
}

/** Downloads the packages that this system lacks into `stage`; answers their names. */
async function download(
  cacheDir: string,
  stage: string,
  log: (line: string) => void,
): Promise<string[]> {
  const apt = join(cacheDir, 'apt');
  const lists = join(apt, 'lists');
  for (const folder of [join(lists, 'partial'), join(apt, 'archives', 'partial')]) {
    mkdirSync(folder, { recursive: true });
  }
  const shared = [
    ...['-o', 'Debug::NoLocking=1', '-o', `Dir::Cache=${apt}`],
    // apt drops to its own user for downloads, and that one cannot write here.
    ...['-o', `APT::Sandbox::User=${process.getuid?.() === 0 ? 'root' : ''}`],
  ];
  try {
    return await downloadMissing(shared, stage);
  } catch {
    // The system's package lists are absent or older than the mirror: read our own.
    log('reading the package lists');
    const own = [...shared, '-o', `Dir::State::Lists=${lists}`];
    await run('apt-get', [...own, '-q', 'update']);
    return downloadMissing(own, stage);
  }
}

async function downloadMissing(options: readonly string[], stage: string): Promise<string[]> {
  const simulate = ['-s', '--no-install-recommends', 'install', 'redis-server'];
  const plan = await run('apt-get', [...options, ...simulate]);
  const names = plan.split('\n').flatMap((line) => /^Inst (\S+)/.exec(line)?.[1] ?? []);
  if (names.length === 0) throw new Error('apt-get has nothing to download for redis-server');
  await run('apt-get', [...options, '-q', 'download', ...names], { cwd: stage });
  return names;
}

function inFolder(root: string): Unpacked {
  const libraries = ['usr/lib', 'lib']
    .map((folder) => join(root, folder))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => name.includes('-linux-')) // x86_64-linux-gnu and its like
        .map((name) => join(folder, name)),
    );
  const inherited = process.env['LD_LIBRARY_PATH'];
  if (inherited !== undefined && inherited !== '') libraries.push(inherited);
  return {
    path: join(root, 'usr/bin/redis-server'),
    env: { LD_LIBRARY_PATH: libraries.join(':') },
  };
}
