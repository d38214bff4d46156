/** Which renderer hears about which stream. */

/** The part of Electron's `WebContents` that is used. */
export interface RendererLike {
  send(channel: string, payload: unknown): void;
  isDestroyed(): boolean;
  isCrashed?(): boolean;
}

/** What an event belongs to. */
export interface StreamOwner {
  readonly chatId?: number | undefined;
  readonly sessionId?: string | undefined;
}

/** A chat's events go to the renderer that asked last; what nobody asked for goes to the main window. */
export class RendererRoutes {
  readonly #renderers = new Map<string, RendererLike>();

  /** @param fallback The main window's renderer, while there is one. */
  constructor(private readonly fallback: () => RendererLike | undefined) {}

  /** From now on this renderer hears about it. */
  remember(owner: StreamOwner, renderer: RendererLike): void {
    for (const [key, known] of this.#renderers) if (known.isDestroyed()) this.#renderers.delete(key);
    this.#renderers.set(keyOf(owner), renderer);
  }

  /** Send an event; dropped when the window is gone, as the app does. */
  send(owner: StreamOwner, channel: string, payload: unknown): void {
    const key = keyOf(owner);
    let renderer = this.#renderers.get(key);
    if (renderer !== undefined && !isAlive(renderer)) {
      this.#renderers.delete(key);
      renderer = undefined;
    }
    renderer ??= this.fallback();
    if (renderer !== undefined && isAlive(renderer)) renderer.send(channel, payload);
  }
}

function keyOf({ chatId, sessionId }: StreamOwner): string {
  return chatId !== undefined ? `chat ${chatId}` : `help ${sessionId ?? ""}`;
}

function isAlive(renderer: RendererLike): boolean {
  return !renderer.isDestroyed() && renderer.isCrashed?.() !== true;
}
