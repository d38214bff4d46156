/** Streaming patches (protocol page 6): offsets and hashes count UTF-16 code units, as JavaScript indexes strings. */

import type { StreamingPatch } from "./generated.js";

const SEED = 5381;

/** djb2 with xor over `text[start, end)`, going on from `hash`. */
function extendHash(hash: number, text: string, start: number, end: number): number {
  let value = hash;
  for (let index = start; index < end; index += 1) value = ((value * 33) ^ text.charCodeAt(index)) >>> 0;
  return value;
}

/** The hash a patch carries for a text's first `length` code units. */
export function prefixHash(text: string, length: number = text.length): number {
  return extendHash(SEED, text, 0, length);
}

/**
 * A text with a patch applied; undefined when the patch was made for another text, so that the whole has to be asked
 * for. The work grows with `patch.offset`; a running stream is better followed with `StreamText`.
 */
export function applyStreamingPatch(text: string, patch: StreamingPatch): string | undefined {
  const { offset, content } = patch;
  if (offset < 0 || offset > text.length) return undefined;
  if (offset > 0 && patch.prefixHash !== prefixHash(text, offset)) return undefined;
  return text.slice(0, offset) + content;
}

/** How many places in the text remember their hash. */
const CHECKPOINTS = 64;

/** A text that patches build up. A patch near the end costs what is new, not what is already there. */
export class StreamText {
  #text: string;
  #endHash: number;
  /** Places where patches began, ascending, each with the hash of all before it. */
  #checkpoints: { readonly offset: number; readonly hash: number }[] = [];

  /** @param text What is there already. */
  constructor(text = "") {
    this.#text = text;
    this.#endHash = prefixHash(text);
  }

  /** The text as it stands. */
  get value(): string {
    return this.#text;
  }

  /** Apply a patch. False when it was made for another text; nothing has changed then. */
  apply(patch: StreamingPatch): boolean {
    const { offset, content } = patch;
    if (offset < 0 || offset > this.#text.length) return false;
    const hash = this.#hashAt(offset);
    if (offset > 0 && patch.prefixHash !== hash) return false;
    this.#text = offset === this.#text.length ? this.#text + content : this.#text.slice(0, offset) + content;
    this.#endHash = extendHash(hash, content, 0, content.length);
    this.#remember(offset, hash);
    return true;
  }

  #hashAt(offset: number): number {
    if (offset === this.#text.length) return this.#endHash;
    const known = this.#checkpoints.findLast((checkpoint) => checkpoint.offset <= offset) ?? { offset: 0, hash: SEED };
    return extendHash(known.hash, this.#text.slice(known.offset, offset), 0, offset - known.offset);
  }

  #remember(offset: number, hash: number): void {
    while ((this.#checkpoints.at(-1)?.offset ?? -1) >= offset) this.#checkpoints.pop();
    this.#checkpoints.push({ offset, hash });
    if (this.#checkpoints.length > CHECKPOINTS) this.#checkpoints.shift();
  }
}
