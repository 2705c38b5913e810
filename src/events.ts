/** What a cache tells those who listen. Nothing depends on anybody listening. */

export interface CacheEvents {
  /** A node became usable. */
  'node:up': [{ node: string }];
  /** A node stopped being usable; its keys are loaded until it is back. */
  'node:down': [{ node: string }];
  /** Something at a node that a person should look at: a wrong password, a missing permission, foreign data. */
  'node:trouble': [{ node: string; error: Error }];
  /** A node does not tell what other processes change (its version, its ACL, a proxy): memory holds each of its values for `memory.maxStale` at most. */
  'node:untracked': [{ node: string; error: Error }];
  /** Another ring is in force in this process, by a change made here. */
  'topology:changed': [{ epoch: number; state: 'stable' | 'joint'; nodes: string[] }];
  /** The same, by a document found at a node: the change was made by another process. */
  'topology:adopted': [{ epoch: number; state: 'stable' | 'joint'; nodes: string[] }];
  /** A set or delete that its node did not confirm: an older value may be read until `invalidation:confirmed`. */
  'invalidation:unconfirmed': [{ key: string; node: string }];
  /** The node has removed the older value now. */
  'invalidation:confirmed': [{ key: string; node: string }];
  /** A deleted tag, or a prefix that was cleared, of which a node has not been told: older values may be read until `tag:confirmed`. */
  'tag:unconfirmed': [{ tag?: string; prefix?: string; node: string }];
  /** The node has been told now. */
  'tag:confirmed': [{ tag?: string; prefix?: string; node: string }];
  /** A reload behind a value that was served stale failed. */
  'load:failed': [{ key: string; error: unknown }];
  /** A loaded value was handed out but not stored, because it cannot be. */
  'value:refused': [{ key: string; error: Error }];
}
