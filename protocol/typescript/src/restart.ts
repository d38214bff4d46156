/** When to start again after a crash, and when to give up. Pure: time is given. */

/** How restarts are spaced. */
export interface RestartOptions {
  /** Wait before the first restart, in ms. */
  readonly initialDelayMs: number;
  /** Longest wait, in ms; each crash within the window doubles it. */
  readonly maxDelayMs: number;
  /** This many crashes within the window are a crash loop: no more restarts. */
  readonly maxCrashes: number;
  /** How long a crash counts, in ms. */
  readonly windowMs: number;
}

/** Restarts after 0.25 s, 0.5 s, 1 s, 2 s; gives up at the fifth crash within a minute. */
export const DEFAULT_RESTART: RestartOptions = {
  initialDelayMs: 250,
  maxDelayMs: 10_000,
  maxCrashes: 5,
  windowMs: 60_000,
};

/** Counts crashes. */
export class RestartPolicy {
  #crashes: number[] = [];

  /** @param options How restarts are spaced. */
  constructor(private readonly options: RestartOptions = DEFAULT_RESTART) {}

  /** A crash at `now` (ms): how long to wait before the restart, in ms, or undefined to give up. */
  crashed(now: number): number | undefined {
    const { initialDelayMs, maxDelayMs, maxCrashes, windowMs } = this.options;
    this.#crashes = [...this.#crashes.filter((at) => now - at < windowMs), now];
    if (this.#crashes.length >= maxCrashes) return undefined;
    return Math.min(maxDelayMs, initialDelayMs * 2 ** (this.#crashes.length - 1));
  }

  /** Forget what was. */
  reset(): void {
    this.#crashes = [];
  }
}
