/**
 * Lines of the wire (protocol page 1): one JSON message per line, UTF-8. Only the byte 0x0A ends a line. No I/O here.
 */

/** The longest line either side accepts, in bytes. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Thrown when a line grows past the limit: what sends this is no sidecar. */
export class LineTooLong extends Error {
  /** @param limit The limit in bytes. */
  constructor(readonly limit: number) {
    super(`A line of more than ${limit} bytes arrived.`);
    this.name = "LineTooLong";
  }
}

/** Splits a byte stream into lines. The work is linear in the bytes, however they are cut. */
export class LineDecoder {
  #pieces: Buffer[] = [];
  #held = 0;

  /** @param maxLineBytes Longest line accepted. */
  constructor(private readonly maxLineBytes: number = MAX_LINE_BYTES) {}

  /** Bytes of a line that has begun and not ended. */
  get unfinishedBytes(): number {
    return this.#held;
  }

  /**
   * Take the next bytes; returns the lines they complete, without line ends and without blank lines.
   * @throws LineTooLong
   */
  feed(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = [];
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      const piece = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (this.#held + piece.length > this.maxLineBytes) throw new LineTooLong(this.maxLineBytes);
      if (end < 0) {
        this.#hold(piece);
        return lines;
      }
      const line = this.#complete(piece);
      if (line.length > 0) lines.push(line);
      start = end + 1;
    }
  }

  #hold(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.#held += piece.length;
  }

  #complete(last: Buffer): Buffer {
    const line = this.#held === 0 ? last : Buffer.concat([...this.#pieces, last]);
    this.#pieces = [];
    this.#held = 0;
    return line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line;
  }
}
