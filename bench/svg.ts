/** Pieces of pictures: text, lines, and the colours that follow the reader's light or dark mode. */

export type Colour = 'warm' | 'cool' | 'deep' | 'soft' | 'pale';

/** The area between the axes. */
export interface Plot {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

export const STYLE = `
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #3d4451 }
.ground { fill: #ffffff; stroke: #d8dee6 } .title { font-size: 18px; font-weight: 600; fill: #12161c }
.panel { font-size: 14px; font-weight: 600; fill: #12161c } .quiet { fill: #667080 } .value { font-size: 12px }
.grid { stroke: #e4e8ee } .axis { stroke: #98a2b0 } .mark { stroke: #12161c; stroke-width: 2.5 } .zone { fill: #eef2f7 }
.warm { fill: #d9622b; stroke: #d9622b } .cool { fill: #1f77b4; stroke: #1f77b4 }
.deep { fill: #5b4ab0; stroke: #5b4ab0 } .soft { fill: #2a9d8f; stroke: #2a9d8f } .pale { fill: #8a94a3; stroke: #8a94a3 }
.event { stroke: #98a2b0; stroke-dasharray: 3 3 } .line.bold { stroke-width: 3.5 }
.bar { stroke: none } .line { fill: none; stroke-width: 2.5 } text.warm, text.cool, text.deep, text.soft, text.pale { stroke: none; font-weight: 600 }
@media (prefers-color-scheme: dark) {
text { fill: #c3cad5 } .ground { fill: #12161c; stroke: #313945 } .title, .panel { fill: #f2f5f9 } .quiet { fill: #929dac }
.grid { stroke: #262d37 } .axis, .event { stroke: #65707f } .mark { stroke: #f2f5f9 } .zone { fill: #1c232c }
.warm { fill: #f08a55; stroke: #f08a55 } .cool { fill: #56a9e0; stroke: #56a9e0 }
.deep { fill: #a394f0; stroke: #a394f0 } .soft { fill: #52c7b8; stroke: #52c7b8 } .pale { fill: #8792a2; stroke: #8792a2 } .line { fill: none }
}`;

export interface Spot {
  readonly x: number;
  readonly y: number;
}

export function line(from: Spot, to: Spot, name: string): string {
  return `<line class="${name}" x1="${round(from.x)}" y1="${round(from.y)}" x2="${round(to.x)}" y2="${round(to.y)}"/>`;
}

export function text(content: string, at: Spot, attributes: string): string {
  return `<text x="${round(at.x)}" y="${round(at.y)}" ${attributes}>${escapeText(content)}</text>`;
}

/** Roughly: nobody knows the reader's font. */
export function textWidth(content: string): number {
  return content.length * 6.9;
}

export function round(value: number): number {
  return Math.round(value * 10) / 10;
}

export function escapeText(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
