/**
 * The slow database behind the cache: what it was asked, and how much at once.
 *
 * Every product has a version, so that a reader can tell an old answer from a
 * new one. A read takes its copy when it begins and hands it out when it ends:
 * whatever is written in between makes it old, as in a real database.
 */
import { setTimeout as rest } from 'node:timers/promises';

export interface Product {
  readonly number: number;
  readonly version: number;
  readonly name: string;
}

export const DATABASE_MS = { from: 15, to: 35 } as const;

const PREFIX = 'product:';

export function keyOf(number: number): string {
  return PREFIX + number;
}

export function numberOf(key: string): number {
  return Number(key.slice(PREFIX.length));
}

export class Database {
  readonly #versions: Uint32Array;
  readonly #random: () => number;
  #atOnce = 0;
  /** Most reads at once since it was last set to 0. */
  peak = 0;

  constructor(products: number, random: () => number) {
    this.#versions = new Uint32Array(products).fill(1);
    this.#random = random;
  }

  get size(): number {
    return this.#versions.length;
  }

  get atOnce(): number {
    return this.#atOnce;
  }

  async read(number: number): Promise<Product> {
    const [product] = await this.readMany([number]);
    return product!;
  }

  /** One query, however many it asks for. */
  async readMany(numbers: readonly number[]): Promise<Product[]> {
    const found = numbers.map((number) => ({
      number,
      version: this.version(number),
      name: `Product ${number}, as of version ${this.version(number)}`,
    }));
    this.#atOnce += 1;
    this.peak = Math.max(this.peak, this.#atOnce);
    await rest(DATABASE_MS.from + this.#random() * (DATABASE_MS.to - DATABASE_MS.from));
    this.#atOnce -= 1;
    return found;
  }

  /** Changes a product; its new version. */
  write(number: number): number {
    this.#versions[number]! += 1;
    return this.version(number);
  }

  version(number: number): number {
    return this.#versions[number]!;
  }
}
