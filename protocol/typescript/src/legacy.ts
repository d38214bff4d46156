/** Takes the app's own handlers aside, so that they can stand in for the sidecar without a change to the app. */

import { APP_CHANNELS, type Channel } from "./channels.js";
import type { InvokeEventLike, IpcMainLike, LegacyHandlers } from "./ipc.js";

/**
 * Run the app's own registration. What it registers for the sidecar's channels is kept, for `registerSidecarIpc`'s
 * `legacy`; everything else is registered as it is.
 * @param ipcMain Electron's `ipcMain`.
 * @param register The app's own `registerIpcHandlers`; it has to register at once, not later.
 * @param channels The channels to keep aside.
 */
export function collectLegacyHandlers<Event extends InvokeEventLike>(
  ipcMain: IpcMainLike<Event>,
  register: () => void,
  channels: readonly Channel[] = APP_CHANNELS,
): LegacyHandlers<Event> {
  const names = new Set(channels.map(({ name }) => name));
  const kept: Record<string, LegacyHandlers<Event>[string]> = {};
  const before = Object.getOwnPropertyDescriptor(ipcMain, "handle");
  const handle = ipcMain.handle.bind(ipcMain);
  ipcMain.handle = (channel, listener) => {
    if (names.has(channel)) kept[channel] = listener as LegacyHandlers<Event>[string];
    else handle(channel, listener);
  };
  try {
    register();
  } finally {
    if (before === undefined) delete (ipcMain as Partial<IpcMainLike<Event>>).handle;
    else Object.defineProperty(ipcMain, "handle", before);
  }
  return kept;
}
