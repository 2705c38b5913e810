/** Nodes as they stand on the command line: `redis://host:port` or `id=redis://host:port`. Never with a password. */
import { quoted, UsageError } from './usage.ts';

export interface NamedNode {
  readonly id: string;
  readonly url: string;
}

const NAMED = /^([^=/]+)=(.*)$/s;

/** @throws UsageError; a URL with a login in it is refused without being shown. */
export function parseNode(text: string, option: string): NamedNode {
  const [, name, address = ''] = NAMED.exec(text) ?? [undefined, undefined, text];
  refuseLogin(address, option);
  if (!/^(?:rediss?|unix):\/\//.test(address)) {
    throw new UsageError(
      `${option} must be redis://host:port or id=redis://host:port, but is ${quoted(text)}`,
    );
  }
  // They separate nodes in RINGCACHE_NODES.
  if (/[\s,]/.test(text))
    throw new UsageError(`${option} must be one node, but is ${quoted(text)}`);
  return { id: name ?? idOfUrl(address), url: address };
}

/** `id=value`, for weights and addresses. @throws UsageError */
export function parsePair(
  text: string,
  option: string,
  value: string,
): [id: string, value: string] {
  refuseLogin(text, option);
  const [, id, given] = NAMED.exec(text) ?? [];
  if (id === undefined || given === undefined) {
    throw new UsageError(`${option} must be ${value}, but is ${quoted(text)}`);
  }
  return [id, given];
}

/**
 * Everybody on the machine sees the command lines of everybody else (`ps`), and
 * shells keep them in files.
 */
function refuseLogin(address: string, option: string): void {
  const login = /unix:\/\//.test(address) ? /:\/\/[^/]*@/ : /:\/\/[^?#]*@|[?&]password=/i;
  if (!login.test(address)) return;
  throw new UsageError(
    `${option} has a user or password in its URL, which others on this machine could see: ` +
      'set RINGCACHE_PASSWORD (and RINGCACHE_USERNAME), or write the URL into the file of --config',
  );
}

/** As createCache calls a node that has a URL alone. */
export function idOfUrl(url: string): string {
  if (!URL.canParse(url)) return '';
  const { host, port } = new URL(url);
  return port === '' && host !== '' ? `${host}:6379` : host;
}
