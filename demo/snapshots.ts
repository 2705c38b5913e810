/** What the image of the documentation is made of: the live picture of one phase, its checks, and the summary. */
import { frame, type Progress } from './frame.ts';
import type { View } from './monitor.ts';
import { paintWith } from './paint.ts';
import { checkLines, introduction, type Look, opening, type Setting, summary } from './report.ts';
import type { Phase } from './scene.ts';
import { svgOf } from './svg.ts';
import type { PhaseResult } from './verdict.ts';

const LOOK: Look = { width: 110, paint: paintWith(true) };
/** The phase that tells most, as far as this. */
const SHOWN = { tone: 'failure', after: 0.7 } as const;

export class Snapshots {
  setting: Setting | undefined;
  seconds = 0;
  #shown: { view: View; progress: Progress } | undefined;

  keep(view: View, progress: Progress): void {
    if (this.#shown !== undefined || progress.tone !== SHOWN.tone) return;
    if (progress.elapsedSeconds < SHOWN.after * progress.seconds) return;
    this.#shown = { view: { ...view, points: [...view.points] }, progress };
  }

  /** Undefined when the demo did not get so far. */
  svg(phases: readonly Phase[], results: readonly PhaseResult[]): string | undefined {
    const shown = this.#shown;
    if (this.setting === undefined || shown === undefined) return undefined;
    const number = shown.progress.number;
    const phase = phases[number - 1];
    const result = results[number - 1];
    if (phase === undefined || result === undefined) return undefined;
    const lines = [
      ...introduction(this.setting, LOOK),
      ...opening(number, phase, LOOK),
      ...frame(shown.view, shown.progress, LOOK),
      '',
      ...checkLines(result.checks, LOOK),
      ...summary(results, this.seconds, LOOK),
    ];
    return svgOf(lines.slice(0, -1), 'The demo of ringcache in a terminal, while a node is dead');
  }
}
