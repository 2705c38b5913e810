/**
 * Where the command line prints: results to stdout, and to stderr all that is
 * said beside them, so that a result can be piped. Knows colours and widths.
 */
import { styleText } from 'node:util';
import { escapedJson } from './text.ts';

export type Format = Parameters<typeof styleText>[0];

/** For bars and wrapped text where no terminal says how wide it is. */
const USUAL_WIDTH = 100;
const LEAST_WIDTH = 40;

export class Screen {
  readonly #stream: NodeJS.WriteStream;
  readonly #coloured: boolean;

  constructor(stream: NodeJS.WriteStream, options: { colour: boolean }) {
    this.#stream = stream;
    // styleText asks NO_COLOR, FORCE_COLOR, TERM and whether it is a terminal.
    this.#coloured = options.colour && styleText('red', '', { stream }) !== '';
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  get width(): number {
    return this.isTerminal ? Math.max(LEAST_WIDTH, this.#stream.columns || 80) : USUAL_WIDTH;
  }

  /** What a table may take: what goes into a file or a pipe is not cut. */
  get tableWidth(): number {
    return this.isTerminal ? this.width : Number.POSITIVE_INFINITY;
  }

  get height(): number {
    return this.isTerminal ? this.#stream.rows || 24 : Number.POSITIVE_INFINITY;
  }

  readonly paint = (format: Format, text: string): string =>
    this.#coloured ? styleText(format, text, { validateStream: false }) : text;

  print(...lines: string[]): void {
    this.write(`${lines.join('\n')}\n`);
  }

  write(text: string): void {
    this.#stream.write(text);
  }

  /** Told when the width changes; returns how to stop being told. */
  onResize(listener: () => void): () => void {
    this.#stream.on('resize', listener);
    return () => this.#stream.off('resize', listener);
  }
}

/** What a command prints with. */
export interface Output {
  /** Results. */
  readonly out: Screen;
  /** Questions, progress, warnings. */
  readonly err: Screen;
  /** Results are JSON: nothing else goes to stdout. */
  readonly json: boolean;
}

export function printJson(output: Output, value: unknown): void {
  output.out.print(escapedJson(value, 2));
}
