/** Every TypeScript snippet of the pages compiles: against Electron's types, the AI SDK's, and this package's. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { test } from "node:test";

import { PACKAGE } from "./support.js";

const ROOT = resolve(PACKAGE, "../..");
const PAGES = [
  join(ROOT, "README.md"),
  join(PACKAGE, "README.md"),
  ...readdirSync(join(ROOT, "docs")).filter((name) => name.endsWith(".md")).map((name) => join(ROOT, "docs", name)),
];

/** The part of Electron's own types that the snippets touch, as Electron declares it. */
const ELECTRON = `declare module "electron" {
  interface WebContents { send(channel: string, ...args: any[]): void; isDestroyed(): boolean; isCrashed(): boolean; id: number }
  interface IpcMainInvokeEvent { sender: WebContents; frameId: number; processId: number }
  class BrowserWindow { static getAllWindows(): BrowserWindow[]; readonly webContents: WebContents }
  const app: {
    readonly isPackaged: boolean;
    getPath(name: "userData"): string; getVersion(): string; whenReady(): Promise<void>; quit(): void;
    on(event: "will-quit", listener: (event: { preventDefault(): void }) => void): void;
  };
  interface IpcMain {
    handle(channel: string, listener: (event: IpcMainInvokeEvent, ...args: any[]) => Promise<any> | any): void;
    removeHandler(channel: string): void;
  }
  const ipcMain: IpcMain;
  interface SafeStorage {
    isEncryptionAvailable(): boolean; encryptString(plainText: string): Buffer; decryptString(encrypted: Buffer): string;
  }
  const safeStorage: SafeStorage;
}
declare namespace NodeJS { interface Process { readonly resourcesPath: string } }
`;

/** What a piece of a file may use without saying where it comes from. */
const AROUND = `import { app } from "electron";
import * as path from "node:path";
declare const __dirname: string;
`;

interface Snippet {
  readonly page: string;
  readonly code: string;
}

function snippets(): Snippet[] {
  return PAGES.flatMap((page) =>
    [...readFileSync(page, "utf8").matchAll(/^( *)```ts\n([\s\S]*?)^ *```$/gm)].map(([, indent = "", code = ""]) => ({
      page: basename(page),
      code: code.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
    })),
  );
}

/** A module of it: a whole one as it is, members of an object in an object, statements with what is around them. */
function module(code: string): string {
  if (/^(import|export) /m.test(code)) return code;
  if (/^\w+: /.test(code)) return `export const config = {\n${code.trimEnd()}\n};\n`;
  return `${AROUND}${code}export {};\n`;
}

/** Stand-ins for the app's own modules that a snippet imports: of any type, since only the app knows theirs. */
function writeAppModules(folder: string, code: string): void {
  for (const [, names = "", path = ""] of code.matchAll(/import \{([^}]*)\} from "(\.[^"]*)"/g)) {
    const file = join(folder, `${path}.ts`);
    mkdirSync(dirname(file), { recursive: true });
    const exported = names.split(",").map((name) => `export declare const ${name.trim()}: any;`);
    writeFileSync(file, exported.join("\n"));
  }
}

test("every TypeScript snippet of README and docs compiles", { timeout: 120_000 }, () => {
  const found = snippets();
  assert.ok(found.length >= 8, "the pages have snippets");
  const folder = mkdtempSync(join(PACKAGE, "dist", "docs-"));
  try {
    found.forEach(({ page, code }, index) => {
      const place = join(folder, `${page.replace(".md", "")}-${index}`);
      mkdirSync(place);
      writeFileSync(join(place, "main.ts"), module(code));
      writeAppModules(place, code);
    });
    writeFileSync(join(folder, "electron.d.ts"), ELECTRON);
    const compilerOptions = {
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      target: "ES2022",
      module: "ESNext",
      moduleResolution: "Bundler",
      types: ["node"],
      paths: { ai: [join(PACKAGE, "node_modules/ai5")] },
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["."] }));
    const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
    const done = spawnSync(process.execPath, [tsc, "-p", folder], { encoding: "utf8" });
    assert.equal(done.stdout, "");
    assert.equal(done.status, 0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("the lines for main.ts are about twenty, and the same in both READMEs", () => {
  const [ours, packaged] = ["README.md", "protocol/typescript/README.md"].map((name) => {
    const code = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, name), "utf8"))?.[1];
    return code ?? assert.fail(`${name} has no snippet`);
  });
  assert.equal(ours, packaged);
  assert.ok((ours ?? "").split("\n").filter((line) => line.trim() !== "").length <= 25);
});
