/** Ways to a server: addresses, log-ins, databases, sockets, TLS, Sentinel. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { InvalidOptionError } from '../../src/errors.ts';
import { startLocalNodes } from '../../src/local.ts';
import { addressOf, type Place } from '../../src/node/address.ts';
import { command, useNodes } from '../support/nodes.ts';
import { useSubjects } from './subject.ts';

const start = useSubjects();

describe('an address', () => {
  const options = (url: string, redis?: Place['redis']): unknown =>
    addressOf({ id: 'n', url, redis }).options;

  test.each([
    ['redis://cache-1', { host: 'cache-1', port: 6379 }],
    ['redis://10.0.0.1:7000', { host: '10.0.0.1', port: 7000 }],
    ['redis://[::1]:7000/3', { host: '::1', port: 7000, db: 3 }],
    ['redis://h?db=4', { host: 'h', port: 6379, db: 4 }],
    ['redis://:p%40ss@h', { host: 'h', port: 6379, password: 'p@ss' }],
    ['redis://me:p%2Fw@h', { host: 'h', port: 6379, username: 'me', password: 'p/w' }],
    ['redis://me@h', { host: 'h', port: 6379 }],
    ['rediss://h:1', { host: 'h', port: 1, tls: {} }],
    ['unix:///run/redis.sock', { path: '/run/redis.sock' }],
    ['unix:///run/a%20b.sock?db=2', { path: '/run/a b.sock', db: 2 }],
    ['unix://me:p%40ss@/run/r.sock', { path: '/run/r.sock', username: 'me', password: 'p@ss' }],
  ])('%s is understood', (url, expected) => {
    expect(options(url)).toEqual(expected);
  });

  test('gives way to the redis options, and both passwords are secret', () => {
    const address = addressOf({
      id: 'n',
      url: 'redis://:p%40ss@h',
      redis: { password: 'mi/ne', sentinelPassword: 'watch', tls: { servername: 's' } },
    });
    expect(address.options).toMatchObject({ password: 'mi/ne', tls: { servername: 's' } });
    expect(address.secrets).toEqual(expect.arrayContaining(['mi/ne', 'mi%2Fne', 'watch']));
    expect(address.secure).toBe(true);
  });

  test.each([
    'http://h',
    'h:6379',
    'redis://h:99999',
    'redis://:secret%zz@h',
    'redis://h/one',
    'unix://run/redis.sock:secret@',
    '',
  ])('%j is refused, by path, without what it was', (url) => {
    expect(() => addressOf({ id: 'n', url })).toThrow(InvalidOptionError);
    expect(() => addressOf({ id: 'n', url })).toThrow(/nodes\.n\.url/);
    expect(() => addressOf({ id: 'n', url })).not.toThrow(/secret/);
  });
});

describe('a server', () => {
  const nodes = useNodes(1);

  test('has databases: the same key in two of them is two keys', async () => {
    const zero = await start(nodes[0]!);
    const three = await start({ id: 'n', url: `${nodes[0]!.url}/3` });
    await zero.set('k', 'in 0');
    await three.set('k', 'in 3');
    expect(await zero.readValue('k')).toBe('in 0');
    expect(await three.readValue('k')).toBe('in 3');
    // After a reconnect, too.
    await command(nodes[0]!, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await expect.poll(async () => three.readValue('k').catch(() => 'down')).toBe('in 3');
  });

  test('cannot be given options that queue, resend or rename', async () => {
    const subject = await start({
      id: 'n',
      url: nodes[0]!.url,
      redis: {
        enableOfflineQueue: true,
        maxRetriesPerRequest: null,
        keyPrefix: 'x:',
        lazyConnect: false,
      },
    });
    await subject.set('k', 1);
    expect(await command(nodes[0]!, 'EXISTS', 'rc:v:k')).toBe(':1\r\n');
    await nodes[0]!.kill();
    await expect(subject.set('k', 1)).rejects.toMatchObject({ code: 'RINGCACHE_NODE_UNAVAILABLE' });
    await expect(subject.set('k', 1)).rejects.toMatchObject({ reason: 'breaker-open' });
  });

  test('that is not there: open resolves, the node is down, and says why', async () => {
    const subject = await start({ id: 'n', url: 'redis://127.0.0.1:1' });
    expect(subject.node.state()).toEqual({ state: 'down', breaker: 'open' });
    expect(subject.states).toEqual(['down']);
    await expect(subject.set('k', 1)).rejects.toThrow(/breaker-open.*ECONNREFUSED/);
    expect(subject.troubles).toEqual([]);
  });
});

describe('other ways in', () => {
  let folder: string;
  let ca: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'ringcache-test-'));
    const days = ['-days', '2', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    const subject = ['-subj', '/CN=cache.test', '-addext', 'subjectAltName=DNS:cache.test'];
    execFileSync(
      'openssl',
      ['req', '-x509', ...days, ...subject, '-keyout', 'key.pem', '-out', 'cert.pem'],
      { cwd: folder, stdio: 'ignore' },
    );
    ca = readFileSync(join(folder, 'cert.pem'), 'utf8');
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test('a unix socket', async () => {
    const path = join(folder, 'r.sock');
    await using started = await startLocalNodes(1, { args: ['--unixsocket', path] });
    expect(started).toHaveLength(1);
    const subject = await start({ id: 'n', url: `unix://${path}?db=1` });
    expect(await subject.set('k', 1)).toEqual({ kind: 'stored' });
    expect(await subject.readValue('k')).toBe(1);
  });

  test('TLS, with the certificate checked; and what is said when the two sides do not agree on it', async () => {
    const { freePort } = await import('../../src/local/port.ts');
    const port = await freePort();
    await using started = await startLocalNodes(1, {
      args: [
        ...['--tls-port', `${port}`, '--tls-auth-clients', 'no'],
        ...['--tls-cert-file', join(folder, 'cert.pem'), '--tls-key-file', join(folder, 'key.pem')],
        ...['--tls-ca-cert-file', join(folder, 'cert.pem')],
      ],
    });
    const url = `rediss://127.0.0.1:${port}`;
    const good = await start({ id: 'n', url, redis: { tls: { ca, servername: 'cache.test' } } });
    expect(await good.set('k', 1)).toEqual({ kind: 'stored' });
    expect(await good.readValue('k')).toBe(1);

    const unknown = await start({ id: 'n', url, redis: { tls: { servername: 'cache.test' } } });
    await expect(unknown.set('k', 1)).rejects.toThrow(/self-signed/);
    const misnamed = await start({
      id: 'n',
      url,
      redis: { tls: { ca, servername: 'other.test' } },
    });
    await expect(misnamed.set('k', 1)).rejects.toThrow(/altnames/);

    const plain = await start({ id: 'n', url: `redis://127.0.0.1:${port}` });
    await expect(plain.set('k', 1)).rejects.toThrow(/rediss:\/\//);
    const secure = await start({ id: 'n', url: `rediss://127.0.0.1:${started[0]!.port}` });
    await expect(secure.set('k', 1)).rejects.toThrow(/speak TLS/);
  });
});
