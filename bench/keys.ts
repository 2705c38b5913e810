/** Keys and values as applications have them; the same in parent and children. */

/** What is cached: 100 bytes as JSON. */
export interface Item {
  readonly id: number;
  readonly name: string;
  readonly tags: readonly string[];
  readonly active: boolean;
  readonly note: string;
}

export const ITEM_BYTES = 100;

export function itemOf(id: number): Item {
  const item = { id, name: `name of ${id}`, tags: ['red', 'green'], active: true, note: '' };
  return { ...item, note: '.'.repeat(ITEM_BYTES - JSON.stringify(item).length) };
}

/** Five shapes, 20 to 30 characters. */
const SHAPES: readonly ((id: number) => string)[] = [
  (id) => `user:${id}:profile:settings`,
  (id) => `session:${(id * 2_654_435_761) >>> 0}:state`,
  (id) => `product:${id}:price:eur`,
  (id) => `tenant:42:order:${id}:items`,
  (id) => `feed:timeline:${id}:page:1`,
];

export function keysOf(count: number): string[] {
  return Array.from({ length: count }, (_, id) => flat(SHAPES[id % SHAPES.length]!(id)));
}

/** Strings built from parts are ropes in V8 until somebody reads them; keys of requests are not. */
function flat(text: string): string {
  return Buffer.from(text).toString('latin1');
}
