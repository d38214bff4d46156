/** The app's channels (app contract 0): how each reports errors, and what structured clone carried that JSON cannot. */

/** A channel that the sidecar answers under the same name. */
export interface Channel {
  /** Name of the channel and of the method. */
  readonly name: string;
  /** "Logged" handlers put `[channel] Error: ` before what they throw; raw ones do not. */
  readonly logged: boolean;
  /** Reads only: may be asked again elsewhere after a crash. */
  readonly readOnly: boolean;
  /** Whether the app answers nothing (undefined, which JSON writes as null). */
  readonly isVoid: boolean;
}

function channel(name: string, ...traits: ("logged" | "readOnly" | "isVoid")[]): Channel {
  return {
    name,
    logged: traits.includes("logged"),
    readOnly: traits.includes("readOnly"),
    isVoid: traits.includes("isVoid"),
  };
}

/** The channels the app has today. */
export const APP_CHANNELS: readonly Channel[] = [
  channel("get-language-model-providers", "logged", "readOnly"),
  channel("get-language-models", "logged", "readOnly"),
  channel("get-language-models-by-providers", "logged", "readOnly"),
  channel("create-custom-language-model-provider", "logged"),
  channel("create-custom-language-model", "logged", "isVoid"),
  channel("delete-custom-language-model", "logged", "isVoid"),
  channel("delete-custom-model", "logged", "isVoid"),
  channel("delete-custom-language-model-provider", "logged", "isVoid"),
  channel("local-models:list-ollama", "readOnly"),
  channel("local-models:list-lmstudio", "readOnly"),
  channel("chat:stream"),
  channel("chat:cancel"),
  channel("chat:count-tokens", "logged", "readOnly"),
  channel("help:chat:start"),
  channel("help:chat:cancel"),
  channel("get-user-budget", "logged", "readOnly"),
  channel("get-user-settings", "readOnly"),
  channel("set-user-settings"),
];

/** Channels the app does not have yet; its preload list has to allow them before a renderer can ask. */
export const NEW_CHANNELS: readonly Channel[] = [
  channel("edit-custom-language-model-provider", "logged"),
  channel("edit-custom-language-model", "logged", "isVoid"),
  channel("settings:migrate", "logged"),
  channel("usage:get", "logged", "readOnly"),
  channel("analytics:get", "logged", "readOnly"),
  channel("analytics:clear", "logged"),
  channel("models:recommend", "logged", "readOnly"),
  channel("providers:health", "logged", "readOnly"),
  channel("features:get", "logged", "readOnly"),
  channel("features:set", "logged"),
];

/** Members that are Date objects over the app's IPC and ISO text over the wire. */
const DATES: ReadonlySet<string> = new Set(["createdAt", "budgetResetDate"]);

/** A result as the renderer knows it: dates are Date objects again. */
export function reviveDates(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reviveDates);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [
      name,
      DATES.has(name) && typeof member === "string" ? new Date(member) : member,
    ]),
  );
}

/** The argument list of an IPC call as params (protocol page 1: a bare argument goes in a list of one). */
export function wireParams(args: readonly unknown[]): unknown {
  const [first] = args;
  if (first === undefined || first === null) return undefined;
  return typeof first === "object" && !Array.isArray(first) ? first : [first];
}
