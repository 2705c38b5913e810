/** The notes that one Redis server keeps for others, in a hash for each: `{ns}:m:<node>`. */
import { paddedEpoch } from './fence.ts';
import type { GuardNode, NoteAnswer, NoteAsk, Notes, NotesAnswer, TakenOff } from './guard-node.ts';
import { NOTE, NOTES, TAKE_OFF } from './guard-scripts.ts';
import type { NodeKeys } from './node-keys.ts';
import type { Outbox } from './outbox.ts';
import { runScript } from './question.ts';
import { inPieces } from './removals.ts';
import { fenced } from './replies.ts';
import { REPLY } from './scripts.ts';
import type { Standing } from './standing.ts';

export interface GuardNodeParts {
  readonly keys: NodeKeys;
  readonly outbox: Outbox;
  readonly standing: Standing;
}

/** A part of a list, and where to go on; '0' after the last one. */
interface Piece {
  readonly cursor: string;
  readonly fields: readonly Buffer[];
}

export class RedisGuardNode implements GuardNode {
  readonly #keys: NodeKeys;
  readonly #outbox: Outbox;
  readonly #standing: Standing;

  constructor({ keys, outbox, standing }: GuardNodeParts) {
    this.#keys = keys;
    this.#outbox = outbox;
    this.#standing = standing;
  }

  async note(node: string, ask: NoteAsk): Promise<NoteAnswer> {
    const { mark, fence, keepMs } = ask;
    const head = [this.#keys.fence, this.#keys.missed(node), fence, mark, Math.ceil(keepMs)];
    const pieces = inPieces(ask.keys).map((keys) => {
      // Also when the topology of this process is not confirmed: the fence is, here.
      return this.#outbox.askUnguarded(
        (client) => runScript(client, NOTE, [...head, ...keys]),
        noteAnswer,
      );
    });
    const answers = await Promise.all(pieces);
    return answers.find(({ kind }) => kind !== 'noted') ?? { kind: 'noted' };
  }

  async notesFor(node: string, epoch: number): Promise<NotesAnswer> {
    const keys = [this.#keys.fence, this.#keys.missed(node), this.#keys.document];
    const notes = new Map<string, string>();
    for (let cursor = '0'; ; ) {
      const operands = [...keys, paddedEpoch(epoch), cursor];
      const reply = await this.#standing.askAnyway((client) => runScript(client, NOTES, operands));
      if (!Array.isArray(reply)) return notesAnswer(reply);
      const piece = pieceOf(reply);
      for (let i = 0; i < piece.fields.length; i += 2) {
        notes.set(String(piece.fields[i]), String(piece.fields[i + 1]));
      }
      if (piece.cursor === '0') return { kind: 'notes', notes };
      cursor = piece.cursor;
    }
  }

  async takeOff(node: string, notes: Notes, removedUnder = ''): Promise<void> {
    const head = [this.#keys.missed(node), this.#keys.loads, removedUnder];
    for (const piece of inPieces([...notes])) {
      const operands = [...head, ...piece.flat()];
      await this.#standing.askAnyway((client) => runScript(client, TAKE_OFF, operands));
    }
  }
}

// The id of a node may contain spaces, a fence has the form it has.
const TAKEN_OFF = /^(.*?) (\d{16}:[0-9a-f]{8}) (\[.*)$/s;

/** What TAKE_OFF has published, after the name of its channel; undefined when it was something else. */
export function takenOffOf(keys: NodeKeys, text: string): TakenOff | undefined {
  const prefix = keys.missed('');
  if (!text.startsWith(prefix)) return undefined;
  const [, node, fence, notes] = TAKEN_OFF.exec(text.slice(prefix.length)) ?? [];
  if (node === undefined || fence === undefined || notes === undefined) return undefined;
  try {
    return { node, fence, notes: new Map(JSON.parse(notes)) };
  } catch {
    // Published by hand: nothing was removed.
    return undefined;
  }
}

function noteAnswer(reply: unknown): NoteAnswer {
  return fenced(reply) ?? { kind: 'noted' };
}

function notesAnswer(reply: unknown): NotesAnswer {
  if (reply === REPLY.unknown) return { kind: 'unknown' };
  return { kind: 'newer', document: Buffer.isBuffer(reply) ? String(reply) : undefined };
}

function pieceOf(reply: unknown[]): Piece {
  const [cursor, fields] = reply as [Buffer, Buffer[]];
  return { cursor: String(cursor), fields };
}
