/** A node that is found through Sentinel, with a real one. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { provideServer } from '../../src/local/provide.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { useSubjects } from './subject.ts';

const start = useSubjects();
const nodes = useNodes(1);

/** Watches one server under the name `cache`; killed when the test is over. */
async function startSentinel(watched: { port: number }): Promise<{ port: number }> {
  const { path, env } = await provideServer();
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'ringcache-sentinel-'));
  const config = join(folder, 'sentinel.conf');
  writeFileSync(
    config,
    `port ${port}\nbind 127.0.0.1\ndir ${folder}\nsentinel monitor cache 127.0.0.1 ${watched.port} 1\n`,
  );
  const options = { env: { ...process.env, ...env }, stdio: 'ignore' as const };
  const child = spawn(path, [config, '--sentinel'], options);
  onTestFinished(async () => {
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    rmSync(folder, { recursive: true, force: true });
  });
  const sentinel = { port };
  await eventually(() => isListening(port));
  return sentinel;
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

test('a server is found by its name at a Sentinel, and again after it was away', async () => {
  const { port } = await startSentinel(nodes[0]!);
  const subject = await start(
    {
      id: 'n',
      // Not used: Sentinel says where it is.
      url: 'redis://127.0.0.1:1',
      redis: { sentinels: [{ host: '127.0.0.1', port }], name: 'cache' },
    },
    { breaker: { resetTimeoutMs: 100 } },
  );
  expect(await subject.set('k', 'found')).toEqual({ kind: 'stored' });
  expect(await command(nodes[0]!, 'EXISTS', 'rc:v:k')).toBe(':1\r\n');
  await nodes[0]!.kill();
  await eventually(() => !subject.up);
  await nodes[0]!.restart();
  await eventually(() => subject.up);
  expect(await subject.set('k', 'again')).toEqual({ kind: 'stored' });
});

test('a Sentinel that is not there leaves the node down, and says why', async () => {
  const subject = await start({
    id: 'n',
    url: 'redis://127.0.0.1:1',
    redis: { sentinels: [{ host: '127.0.0.1', port: 1 }], name: 'cache' },
  });
  expect(subject.node.state().state).toBe('down');
  await expect(subject.set('k', 1)).rejects.toMatchObject({ reason: 'breaker-open' });
});
