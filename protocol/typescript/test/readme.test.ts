import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";

import { PACKAGE } from "./support.js";

/** The part of Electron's own types that the snippet touches, as Electron declares it. */
const ELECTRON = `declare module "electron" {
  interface WebContents { send(channel: string, ...args: any[]): void; isDestroyed(): boolean; isCrashed(): boolean; id: number }
  interface IpcMainInvokeEvent { sender: WebContents; frameId: number; processId: number }
  class BrowserWindow { static getAllWindows(): BrowserWindow[]; readonly webContents: WebContents }
  const app: {
    getPath(name: "userData"): string; getVersion(): string; whenReady(): Promise<void>; quit(): void;
    on(event: "will-quit", listener: (event: { preventDefault(): void }) => void): void;
  };
  const ipcMain: {
    handle(channel: string, listener: (event: IpcMainInvokeEvent, ...args: any[]) => Promise<any> | any): void;
    removeHandler(channel: string): void;
  };
  const safeStorage: {
    isEncryptionAvailable(): boolean; encryptString(plainText: string): Buffer; decryptString(encrypted: Buffer): string;
  };
}
declare namespace NodeJS { interface Process { readonly resourcesPath: string } }
`;

const LEGACY = `import type { IpcMainInvokeEvent } from "electron";
export const legacyHandlers = {
  "chat:cancel": async (_event: IpcMainInvokeEvent, chatId: number) => chatId > 0,
  "get-user-settings": () => ({}),
};
`;

test("the README's snippet compiles against Electron's types, and is about twenty lines", { timeout: 60_000 }, () => {
  const readme = readFileSync(join(PACKAGE, "README.md"), "utf8");
  const snippet = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? assert.fail("no snippet");
  assert.ok(snippet.split("\n").filter((line) => line.trim() !== "").length <= 30);
  const folder = mkdtempSync(join(PACKAGE, "dist", "readme-"));
  try {
    mkdirSync(join(folder, "ipc"));
    writeFileSync(join(folder, "main.ts"), snippet);
    writeFileSync(join(folder, "electron.d.ts"), ELECTRON);
    writeFileSync(join(folder, "ipc", "legacy_handlers.ts"), LEGACY);
    const compilerOptions = { strict: true, noEmit: true, target: "ES2022", module: "ESNext", moduleResolution: "Bundler", types: ["node"] };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["."] }));
    const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
    const done = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
    assert.equal(done.stdout, "");
    assert.equal(done.status, 0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
