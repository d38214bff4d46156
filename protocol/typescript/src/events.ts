/** A typed, minimal emitter. A listener that throws is reported and does not disturb the others. */

/** Takes an event's payload. */
export type Listener<T> = (payload: T) => void;

/** Stops listening. */
export type Unsubscribe = () => void;

/** Listeners by event name. */
export class Events<Payloads extends object> {
  readonly #listeners = new Map<keyof Payloads, Set<Listener<never>>>();

  /** @param onError Told what a listener threw. */
  constructor(private readonly onError: (event: keyof Payloads, error: unknown) => void) {}

  /** Listen; the result stops it. */
  on<Name extends keyof Payloads>(event: Name, listener: Listener<Payloads[Name]>): Unsubscribe {
    let listeners = this.#listeners.get(event);
    if (listeners === undefined) this.#listeners.set(event, (listeners = new Set()));
    // A wrapper of its own, so that the same function may listen twice.
    const entry: Listener<Payloads[Name]> = (payload) => listener(payload);
    listeners.add(entry);
    return () => listeners.delete(entry);
  }

  /** Tell everybody who listens, in the order they came. */
  emit<Name extends keyof Payloads>(event: Name, payload: Payloads[Name]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])] as Listener<Payloads[Name]>[]) {
      try {
        listener(payload);
      } catch (error) {
        this.onError(event, error);
      }
    }
  }
}
