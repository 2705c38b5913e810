/**
 * Where a node is: `redis://`, `rediss://` and `unix://` addresses, as options
 * of the Redis client. Knows which parts of them are secret.
 */
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { InvalidOptionError, UNSHOWN } from '../errors.ts';

/**
 * Options of the Redis client (ioredis) for one node, beside its address: TLS,
 * log-in, Sentinel. What keeps requests bounded cannot be changed by them (see
 * `SAFETY` in connection.ts); a log-in given here goes before that of the URL.
 */
export interface ClientOptions {
  /** As for `tls.connect`: `ca`, `servername`, `cert`, `key` …; needed for an address that is an IP. */
  readonly tls?: TlsOptions;
  readonly username?: string;
  readonly password?: string;
  /** The number of the database. */
  readonly db?: number;
  /** Asks these Sentinels for the server called `name`; the host of the address is not used then. */
  readonly sentinels?: readonly { readonly host: string; readonly port: number }[];
  readonly name?: string;
  readonly sentinelUsername?: string;
  readonly sentinelPassword?: string;
  readonly [option: string]: unknown;
}

export interface Place {
  /** What the address is called in the options, for messages. */
  readonly path?: string;
  readonly id: string;
  readonly url: string;
  readonly redis?: ClientOptions | undefined;
}

export interface Address {
  readonly options: Readonly<Record<string, unknown>>;
  /** Texts that must not appear in any message. */
  readonly secrets: readonly string[];
  readonly secure: boolean;
}

const UNIX = /^unix:\/\/(?:([^:@/]*)(?::([^@]*))?@)?(\/[^?]*)(?:\?(.*))?$/;

/** @throws InvalidOptionError without the address, which may hold a password. */
export function addressOf(place: Place): Address {
  const fromUrl = place.url.startsWith('unix:') ? unixAddress(place) : tcpAddress(place);
  const options = { ...fromUrl, ...place.redis };
  const tls = options['tls'];
  // A whole URL or options object as text would show them in this form too.
  const secrets = [options['password'], options['sentinelPassword']]
    .filter((secret) => typeof secret === 'string' && secret !== '')
    .flatMap((secret) => [String(secret), encodeURIComponent(String(secret))]);
  return { options, secrets, secure: tls !== undefined };
}

function tcpAddress(place: Place): Record<string, unknown> {
  const url = URL.canParse(place.url) ? new URL(place.url) : undefined;
  if (url === undefined || (url.protocol !== 'redis:' && url.protocol !== 'rediss:')) {
    throw badAddress(place);
  }
  return {
    // An IPv6 address stands in brackets.
    host: url.hostname.replace(/^\[(.*)\]$/, '$1') || '127.0.0.1',
    port: url.port === '' ? 6379 : Number(url.port),
    ...login(place, url.username, url.password),
    ...database(place, url.searchParams.get('db') ?? url.pathname.slice(1)),
    ...(url.protocol === 'rediss:' ? { tls: {} } : {}),
  };
}

function unixAddress(place: Place): Record<string, unknown> {
  const parts = UNIX.exec(place.url);
  if (parts === null) throw badAddress(place);
  const [, username = '', password = '', path = '', query = ''] = parts;
  return {
    path: decode(place, path),
    ...login(place, username, password),
    ...database(place, new URLSearchParams(query).get('db') ?? ''),
  };
}

function login(place: Place, username: string, password: string): Record<string, unknown> {
  // A name without a password logs in nobody.
  if (password === '') return {};
  if (username === '') return { password: decode(place, password) };
  return { username: decode(place, username), password: decode(place, password) };
}

function database(place: Place, text: string): Record<string, unknown> {
  if (text === '') return {};
  if (!/^\d{1,5}$/.test(text)) throw badAddress(place);
  return { db: Number(text) };
}

function decode(place: Place, text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badAddress(place);
  }
}

function badAddress(place: Place): InvalidOptionError {
  return new InvalidOptionError(
    place.path ?? `nodes.${place.id}.url`,
    'redis://[user:password@]host[:port][/db], rediss://… or unix:///path/to/socket[?db=n], with reserved characters percent-encoded',
    // Not the URL: it is broken, so nobody knows where in it the password stands.
    UNSHOWN,
  );
}
