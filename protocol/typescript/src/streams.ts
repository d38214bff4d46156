/**
 * Follows the chat streams: the rows and the text a renderer holds, rebuilt from chunks in either mode.
 *
 * A patch that does not fit (or a gap in `seq`) means something was lost. The whole is then asked for, and the patches
 * that came meanwhile are applied on top: a text saved a moment ago is a prefix that some of them continue.
 */

import type { ChatEnd, ChatError, ChatIdleEnd, ChunkMessages, ChunkPatch, MessageRow } from "./generated.js";
import { StreamText } from "./patches.js";

/** One running stream as a renderer holds it. */
export interface StreamSnapshot {
  readonly chatId: number;
  readonly streamId: string;
  /** The assistant row that is being written. */
  readonly messageId: number | undefined;
  /** The chat's rows, the answer so far in the last one. */
  readonly messages: readonly MessageRow[];
  /** The answer so far. */
  readonly text: string;
  /** False while a part is missing and the whole has been asked for. */
  readonly inSync: boolean;
}

/** A stream that was running when the sidecar went away. */
export interface InterruptedStream extends StreamSnapshot {
  /** What the database holds of the answer; undefined without a `loadMessage`. Rejects as that does. */
  saved(): Promise<string | undefined>;
}

/** Reads the content of a message as saved, the whole of what patches are made for; undefined when it is not there. */
export type LoadMessage = (chatId: number, messageId: number) => Promise<string | undefined>;

/** Patches kept while the whole is on its way; the oldest are of no use by then. */
const MAX_KEPT_PATCHES = 10_000;

/** All running streams. */
export class ChatStreams {
  readonly #streams = new Map<string, Stream>();

  /**
   * @param loadMessage How to ask for the whole.
   * @param onRecovered Told when a stream that had lost a part is whole again.
   */
  constructor(
    private readonly loadMessage: LoadMessage | undefined,
    private readonly onRecovered: (snapshot: StreamSnapshot) => void,
  ) {}

  /** A chunk arrived; the stream as it stands then. */
  chunk(params: ChunkMessages | ChunkPatch): StreamSnapshot {
    let stream = this.#streams.get(params.streamId);
    if (stream === undefined) this.#streams.set(params.streamId, (stream = new Stream(params)));
    if (!stream.take(params)) void this.#recover(stream);
    return stream.snapshot();
  }

  /** A terminal notification arrived; the stream as it was, when there was one. */
  ended(params: ChatEnd | ChatIdleEnd | ChatError): StreamSnapshot | undefined {
    if (!("streamId" in params)) return undefined;
    const stream = this.#streams.get(params.streamId);
    this.#streams.delete(params.streamId);
    return stream?.snapshot();
  }

  /** The sidecar is gone: all streams that were running, which are forgotten. */
  interrupted(): InterruptedStream[] {
    const streams = [...this.#streams.values()];
    this.#streams.clear();
    return streams.map((stream) => {
      const snapshot = stream.snapshot();
      const { chatId, messageId } = snapshot;
      const saved = async (): Promise<string | undefined> =>
        messageId === undefined ? undefined : this.loadMessage?.(chatId, messageId);
      return { ...snapshot, saved };
    });
  }

  async #recover(stream: Stream): Promise<void> {
    if (this.loadMessage === undefined || stream.loading || stream.messageId === undefined) return;
    stream.loading = true;
    try {
      const text = await this.loadMessage(stream.chatId, stream.messageId);
      if (text !== undefined && stream.restore(text) && this.#streams.has(stream.streamId)) {
        this.onRecovered(stream.snapshot());
      }
    } catch {
      // The next patch asks again.
    } finally {
      stream.loading = false;
    }
  }
}

class Stream {
  readonly chatId: number;
  readonly streamId: string;
  loading = false;
  messageId: number | undefined;
  #rows: readonly MessageRow[] = [];
  #text = new StreamText();
  #nextSeq = 0;
  /** Patches since a part was lost; undefined while in sync. */
  #kept: ChunkPatch[] | undefined;

  constructor(first: ChunkMessages | ChunkPatch) {
    this.chatId = first.chatId;
    this.streamId = first.streamId;
  }

  /** False when the whole is needed. */
  take(chunk: ChunkMessages | ChunkPatch): boolean {
    const gap = chunk.seq !== this.#nextSeq;
    this.#nextSeq = chunk.seq + 1;
    if ("messages" in chunk) {
      this.#whole(chunk.messages);
      return true;
    }
    this.messageId = chunk.streamingMessageId;
    if (this.#kept === undefined && !gap && this.#text.apply(chunk.streamingPatch)) return true;
    this.#kept = [...(this.#kept ?? []), chunk].slice(-MAX_KEPT_PATCHES);
    return this.#text.apply(chunk.streamingPatch) && this.#backInSync();
  }

  /** The text as saved arrived. True when what came meanwhile continues it. */
  restore(text: string): boolean {
    if (this.#kept === undefined) return true;
    const restored = new StreamText(text);
    const fits = this.#kept.map((chunk) => restored.apply(chunk.streamingPatch));
    // Once one fits, all later ones must: otherwise the saved text is older than what was lost.
    if (!fits.includes(true) || fits.lastIndexOf(false) > fits.indexOf(true)) return false;
    this.#text = restored;
    return this.#backInSync();
  }

  snapshot(): StreamSnapshot {
    const { chatId, streamId, messageId } = this;
    const text = this.#text.value;
    const messages = this.#rows.map((row) => (row.id === messageId ? { ...row, content: text } : row));
    return { chatId, streamId, messageId, messages, text, inSync: this.#kept === undefined };
  }

  #whole(rows: readonly MessageRow[]): void {
    const last = rows.at(-1);
    this.#rows = rows;
    this.messageId = last?.id;
    this.#text = new StreamText(last?.content);
    this.#kept = undefined;
  }

  #backInSync(): boolean {
    this.#kept = undefined;
    return true;
  }
}
