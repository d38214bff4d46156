/** Runs the Scalix sidecar from an Electron main process. */

export { SidecarClient } from "./client.js";
export type {
  ClientEvents,
  ClientState,
  HealthOptions,
  HostHandlers,
  SidecarClientOptions,
  SidecarEvents,
} from "./client-options.js";
export { collectLegacyHandlers } from "./legacy.js";
export { registerSidecarIpc } from "./ipc.js";
export type {
  InvokeEventLike,
  IpcMainLike,
  LegacyHandlers,
  RegisterSidecarIpcOptions,
  SidecarIpc,
} from "./ipc.js";
export { createScalixProvider } from "./language-model/provider.js";
export type { ScalixProvider, ScalixProviderOptions } from "./language-model/provider.js";
export { ModelCallFailed, NoSuchModel } from "./language-model/errors.js";
export type {
  CallOptions,
  LanguageModel as SidecarLanguageModel,
  LegacyModel,
  SpecificationVersion,
  StreamPart as SidecarStreamPart,
} from "./language-model/specification.js";
export { APP_CHANNELS, NEW_CHANNELS, type Channel } from "./channels.js";
export { type RendererLike } from "./renderers.js";
export { safeStorageSecrets, type SafeStorageLike } from "./secrets.js";
export { applyStreamingPatch, prefixHash, StreamText } from "./patches.js";
export { ChatStreams, type InterruptedStream, type LoadMessage, type StreamSnapshot } from "./streams.js";
export { DEFAULT_RESTART, RestartPolicy, type RestartOptions } from "./restart.js";
export { RpcConnection, type ConnectionWiring, type RequestOptions } from "./connection.js";
export { LineDecoder, LineTooLong, MAX_LINE_BYTES } from "./framing.js";
export type { ProcessOptions } from "./process.js";
export type { Listener, Unsubscribe } from "./events.js";
export * from "./errors.js";
export * from "./generated.js";
