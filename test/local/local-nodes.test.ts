import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { ClosedError, InvalidOptionError } from '../../src/errors.ts';
import { LocalNodeError, startLocalNodes } from '../../src/local.ts';
import { eventually } from '../support/eventually.ts';
import { command, useNodes } from '../support/nodes.ts';
import { isRunning } from '../support/process.ts';

// Of this file alone: others, and other people, start nodes at the same time.
const temporary = mkdtempSync(join(tmpdir(), 'ringcache-test-'));
beforeAll(() => {
  vi.stubEnv('TMPDIR', temporary);
});
afterAll(() => {
  rmSync(temporary, { recursive: true });
});

describe('the nodes', () => {
  test('answer at their urls, each for itself', async () => {
    await using nodes = await startLocalNodes(2);
    for (const node of nodes) expect(node.url).toBe(`redis://127.0.0.1:${node.port}`);
    await command(nodes[0]!, 'SET', 'a', '1');
    expect(await command(nodes[0]!, 'GET', 'a')).toBe('$1\r\n1\r\n');
    expect(await command(nodes[1]!, 'GET', 'a')).toBe('$-1\r\n');
  });

  test('have only id and url of their own, as the nodes of createCache', async () => {
    await using nodes = await startLocalNodes(2);
    expect(nodes.map((node) => Object.keys(node))).toEqual([
      ['id', 'url'],
      ['id', 'url'],
    ]);
    expect(Object.keys(nodes)).toEqual(['0', '1']);
    expect(nodes.map((node) => node.id)).toEqual(['node-1', 'node-2']);
  });

  test('are an array whose map and filter answer plain arrays', async () => {
    await using nodes = await startLocalNodes(1);
    expect(Array.isArray(nodes)).toBe(true);
    expect(nodes.filter(() => true).constructor).toBe(Array);
    expect(nodes.map((node) => node.id).constructor).toBe(Array);
  });

  test('keep nothing on disk and listen on loopback only', async () => {
    await using nodes = await startLocalNodes(1);
    const node = nodes[0]!;
    expect(await command(node, 'CONFIG', 'GET', 'save')).toBe('*2\r\n$4\r\nsave\r\n$0\r\n\r\n');
    expect(await command(node, 'CONFIG', 'GET', 'appendonly')).toContain('no');
    expect(await command(node, 'CONFIG', 'GET', 'bind')).toContain('127.0.0.1');
  });

  test('listen below the ports of outgoing connections', async () => {
    await using nodes = await startLocalNodes(3);
    for (const node of nodes) expect(node.port).toBeLessThan(32_768);
    expect(new Set(nodes.map((node) => node.port)).size).toBe(3);
  });

  test('take arguments, which win over ours', async () => {
    await using nodes = await startLocalNodes(1, {
      args: ['--maxmemory', '7mb', '--appendonly', 'yes'],
      idPrefix: 'cache-',
    });
    expect(nodes[0]?.id).toBe('cache-1');
    expect(await command(nodes[0]!, 'CONFIG', 'GET', 'maxmemory')).toContain('7340032');
    expect(await command(nodes[0]!, 'CONFIG', 'GET', 'appendonly')).toContain('yes');
  });

  test('that refuse their arguments say why, and nothing is left of the others', async () => {
    const start = startLocalNodes(2, { args: ['--maxmemory', 'plenty'] });
    await expect(start).rejects.toThrow(LocalNodeError);
    await expect(start).rejects.toMatchObject({
      code: 'RINGCACHE_LOCAL_NODE',
      message: expect.stringContaining('maxmemory'),
    });
    expect(folders()).toEqual([]);
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 101])(
    'are not %d',
    async (count) => {
      await expect(startLocalNodes(count)).rejects.toThrow(InvalidOptionError);
    },
  );
});

describe('one node', () => {
  const nodes = useNodes(1);

  test.each(['stop', 'kill'] as const)('%s ends its process', async (verb) => {
    const node = nodes[0]!;
    const pid = node.pid!;
    expect(node.running).toBe(true);
    await node[verb]();
    expect(node.running).toBe(false);
    expect(node.pid).toBeUndefined();
    expect(await isRunning(pid)).toBe(false);
    await expect(command(node, 'PING')).rejects.toThrow('ECONNREFUSED');
    await node[verb](); // again: nothing to do
  });

  // Below the 5 s after which stop() would kill it anyway.
  test('stop and kill reach a paused process', { timeout: 4_000 }, async () => {
    const node = nodes[0]!;
    await node.pause();
    await node.stop();
    expect(node.running).toBe(false);
    await node.restart();
    await node.pause();
    await node.kill();
    expect(node.running).toBe(false);
  });

  test('pause lets nothing be answered until resume', async () => {
    const node = nodes[0]!;
    await node.pause();
    expect(node.running).toBe(true);
    let answered = false;
    const answer = command(node, 'PING').finally(() => {
      answered = true;
    });
    // The connection is accepted by the kernel, so what is missing is the answer alone.
    await expect(eventually(() => answered, { withinMs: 100 })).rejects.toThrow('still false');
    await node.resume();
    expect(await answer).toBe('+PONG\r\n');
  });

  test('restart starts another, empty process on the same port', async () => {
    const node = nodes[0]!;
    const { pid, port } = node;
    await command(node, 'SET', 'a', '1');
    await node.restart();
    expect(node.port).toBe(port);
    expect(node.pid).not.toBe(pid);
    expect(await command(node, 'GET', 'a')).toBe('$-1\r\n');
  });

  test('restart finds its port free while clients try to reconnect to it', async () => {
    const node = nodes[0]!;
    let restarting: boolean = true;
    const clients = Array.from({ length: 20 }, async () => {
      while (restarting) await command(node, 'PING').catch(() => {});
    });
    for (let round = 0; round < 10; round += 1) await node.restart();
    restarting = false;
    await Promise.all(clients);
    expect(await command(node, 'PING')).toBe('+PONG\r\n');
  });

  test('pause and resume reject when it is not running', async () => {
    const node = nodes[0]!;
    await node.kill();
    await expect(node.pause()).rejects.toThrow('node-1 is not running and cannot be paused');
    await expect(node.resume()).rejects.toThrow(LocalNodeError);
  });

  test('verbs run in the order in which they were called', async () => {
    const node = nodes[0]!;
    await Promise.all([node.kill(), node.restart(), node.pause(), node.resume(), node.restart()]);
    expect(await command(node, 'PING')).toBe('+PONG\r\n');
  });
});

test('restart keeps nothing, even when the arguments make the server save', async () => {
  await using nodes = await startLocalNodes(1, { args: ['--appendonly', 'yes'] });
  await command(nodes[0]!, 'SET', 'a', '1');
  await nodes[0]!.stop();
  await nodes[0]!.restart();
  expect(await command(nodes[0]!, 'GET', 'a')).toBe('$-1\r\n');
});

describe('a group', () => {
  test('add starts one more, with the next number', async () => {
    await using nodes = await startLocalNodes(1);
    const [second, third] = await Promise.all([nodes.add(), nodes.add()]);
    expect([second.id, third.id]).toEqual(['node-2', 'node-3']);
    expect(nodes).toHaveLength(3);
    expect(await command(third, 'PING')).toBe('+PONG\r\n');
  });

  test('close ends all, paused ones too, and leaves no folder', async () => {
    const nodes = await startLocalNodes(3);
    const pids = nodes.map((node) => node.pid!);
    expect(folders()).toHaveLength(1);
    await nodes[1]!.pause();
    await nodes[2]!.kill();
    await Promise.all([nodes.close(), nodes.close()]);
    for (const pid of pids) expect(await isRunning(pid)).toBe(false);
    expect(nodes.map((node) => node.running)).toEqual([false, false, false]);
    expect(folders()).toEqual([]);
  });

  test('close ends a node that is being added', async () => {
    const nodes = await startLocalNodes(1);
    const added = expect(nodes.add()).rejects.toThrow(ClosedError);
    await nodes.close();
    await added;
    expect(folders()).toEqual([]);
  });

  test('nothing starts after close', async () => {
    const nodes = await startLocalNodes(1);
    await nodes.close();
    await expect(nodes.add()).rejects.toThrow(ClosedError);
    await expect(nodes[0]!.restart()).rejects.toThrow(ClosedError);
    expect(folders()).toEqual([]);
  });
});

/** What the groups of this file have on disk. */
function folders(): string[] {
  return readdirSync(temporary);
}
