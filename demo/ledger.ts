/**
 * What the cache ought to know: which keys its nodes hold, and which version a
 * reader may not fall behind. Kept beside the cache, from what the demo itself
 * did, so that a broken promise shows.
 *
 * A key ought to be held from the end of a load that nothing interfered with,
 * until it is written, or until its node is lost. A load of a key that ought
 * to be held is an *extra* load: the cache has asked the database for nothing.
 */

interface LoadTicket {
  readonly writes: number;
  readonly ringChanges: number;
  /** Whether its result is expected to be held afterwards. */
  readonly counts: boolean;
  readonly startedAt: number;
}

/** What a node may be asked before and after a load, on a busy machine. */
const FILL_MS = 100;

export class Ledger {
  readonly size: number;
  /** 1: its node ought to have it. */
  readonly held: Uint8Array;
  /** Lowest version that may still be read: deletes of older ones were confirmed. */
  readonly #floors: Uint32Array;
  readonly #writes: Uint32Array;
  readonly #writesUnderWay: Uint16Array;
  readonly #writtenInPhase: Uint8Array;
  readonly #loadStarts: Float64Array;
  readonly #loadEnds: Float64Array;
  readonly #writeEnds: Float64Array;
  /** Versions whose delete was not confirmed, by key. */
  readonly #unconfirmed = new Map<number, number>();
  #ringChanges = 0;
  #isAway: (number: number) => boolean = () => false;

  loads = 0;
  extraLoads = 0;
  /** Keys of an unusable node that were loaded. */
  loadsOfAway = 0;
  writes = 0;
  unconfirmedWrites = 0;

  constructor(size: number) {
    this.size = size;
    this.held = new Uint8Array(size);
    this.#floors = new Uint32Array(size);
    this.#writes = new Uint32Array(size);
    this.#writesUnderWay = new Uint16Array(size);
    this.#writtenInPhase = new Uint8Array(size);
    this.#loadStarts = new Float64Array(size);
    this.#loadEnds = new Float64Array(size);
    this.#writeEnds = new Float64Array(size).fill(Number.NEGATIVE_INFINITY);
  }

  beginPhase(): void {
    this.loads = 0;
    this.extraLoads = 0;
    this.loadsOfAway = 0;
    this.writes = 0;
    this.unconfirmedWrites = 0;
    this.#writtenInPhase.fill(0);
  }

  /** These keys cannot be held for now: their node is not there. */
  away(isAway: (number: number) => boolean): void {
    this.#isAway = isAway;
    this.#forgetUnsettled(isAway);
  }

  back(): void {
    this.#isAway = () => false;
  }

  /** Their node has lost what it had. */
  lose(isLost: (number: number) => boolean): void {
    for (let number = 0; number < this.size; number += 1) {
      if (isLost(number)) this.held[number] = 0;
    }
  }

  /**
   * A load that is under way when its key gets another owner is handed out and
   * not stored, by design: neither its lease nor its value would be believed.
   */
  ringChanged(): void {
    this.#ringChanges += 1;
    this.#forgetUnsettled(() => true);
  }

  /** Its node was too slow for what was loaded to be stored: this machine is busy. */
  notStored(number: number): void {
    if (!this.#isAway(number)) this.held[number] = 0;
  }

  writtenInPhase(number: number): boolean {
    return this.#writtenInPhase[number] === 1;
  }

  loadBegins(number: number): LoadTicket {
    const away = this.#isAway(number);
    this.loads += 1;
    if (away) this.loadsOfAway += 1;
    else if (this.held[number] === 1) this.extraLoads += 1;
    const now = performance.now();
    // A write that came after the lease and before the load has ended the lease, too.
    const quiet = now - this.#writeEnds[number]! > FILL_MS && this.#writesUnderWay[number] === 0;
    const ringChanges = this.#ringChanges;
    return { writes: this.#writes[number]!, ringChanges, counts: quiet && !away, startedAt: now };
  }

  loadEnds(number: number, ticket: LoadTicket): void {
    this.#loadStarts[number] = ticket.startedAt;
    this.#loadEnds[number] = performance.now();
    const undisturbed =
      ticket.writes === this.#writes[number] && ticket.ringChanges === this.#ringChanges;
    if (ticket.counts && undisturbed && !this.#isAway(number)) this.held[number] = 1;
  }

  /** How much of the time since `startedAt` went into the last load of this key. */
  loadedFor(number: number, startedAt: number): number {
    const from = Math.max(startedAt, this.#loadStarts[number]!);
    return Math.max(0, this.#loadEnds[number]! - from);
  }

  writeBegins(number: number): void {
    this.writes += 1;
    this.held[number] = 0;
    this.#writtenInPhase[number] = 1;
    this.#writes[number]! += 1;
    this.#writesUnderWay[number]! += 1;
  }

  /** @param confirmed What `cache.delete` said: if so, nobody may read an older version from now on. */
  writeEnds(number: number, version: number, confirmed: boolean): void {
    this.#writesUnderWay[number]! -= 1;
    this.#writeEnds[number] = performance.now();
    if (confirmed) this.#raise(number, version);
    else this.unconfirmedWrites += 1;
  }

  /** The delete of what was older than `version` waits for its node. */
  unconfirmed(number: number, version: number): void {
    this.#unconfirmed.set(number, version);
  }

  confirmed(number: number): void {
    this.#raise(number, this.#unconfirmed.get(number) ?? 0);
    this.#unconfirmed.delete(number);
  }

  get waitingForConfirmation(): number {
    return this.#unconfirmed.size;
  }

  /** To be asked when a read begins. */
  floor(number: number): number {
    return this.#floors[number]!;
  }

  /** What was loaded a moment ago is perhaps not stored yet. */
  #forgetUnsettled(concerns: (number: number) => boolean): void {
    const since = performance.now() - FILL_MS;
    for (let number = 0; number < this.size; number += 1) {
      if (this.#loadEnds[number]! > since && concerns(number)) this.held[number] = 0;
    }
  }

  #raise(number: number, version: number): void {
    this.#floors[number] = Math.max(this.#floors[number]!, version);
  }
}
