/** Runs the Scalix sidecar from an Electron main process. */

export { SidecarClient } from "./client.js";
export type {
  ClientEvents,
  ClientState,
  HealthOptions,
  HostHandlers,
  SidecarClientOptions,
  SidecarEvents,
} from "./client.js";
export { registerSidecarIpc } from "./ipc.js";
export type {
  InvokeEventLike,
  IpcMainLike,
  LegacyHandlers,
  RegisterSidecarIpcOptions,
  SidecarIpc,
} from "./ipc.js";
export { APP_CHANNELS, NEW_CHANNELS, type Channel } from "./channels.js";
export { type RendererLike } from "./renderers.js";
export { safeStorageSecrets, type SafeStorageLike } from "./secrets.js";
export { applyStreamingPatch, prefixHash, StreamText } from "./patches.js";
export { ChatStreams, type LoadMessage, type StreamSnapshot } from "./streams.js";
export { DEFAULT_RESTART, RestartPolicy, type RestartOptions } from "./restart.js";
export { RpcConnection, type ConnectionWiring, type RequestOptions } from "./connection.js";
export { LineDecoder, LineTooLong, MAX_LINE_BYTES } from "./framing.js";
export type { ProcessOptions } from "./process.js";
export type { Listener, Unsubscribe } from "./events.js";
export * from "./errors.js";
export * from "./generated.js";
