/** Who keeps for a node what it missed while it was away. */

/** Two, so that the loss of one of them, or what it evicts, costs nothing. */
const GUARDIANS = 2;

/**
 * The next nodes after `id` in the order of ids, from the first again after
 * the last: the same for every process that knows the same members, and none
 * of them depends on addresses or weights.
 *
 * @param ids The members; `id` itself need not be among them.
 * @returns At most two; none in a ring of `id` alone.
 */
export function guardiansOf(id: string, ids: readonly string[]): string[] {
  const others = ids.filter((other) => other !== id).sort();
  const after = others.findIndex((other) => other > id);
  const first = Math.max(0, after);
  return [...others.slice(first), ...others.slice(0, first)].slice(0, GUARDIANS);
}
