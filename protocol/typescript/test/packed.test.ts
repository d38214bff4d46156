/** The package as others get it: packed, installed into an empty project, imported in every way they may. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { PACKAGE } from "./support.js";

const project = mkdtempSync(join(tmpdir(), "sidecar-packed-"));
after(() => rmSync(project, { recursive: true, force: true }));

function run(command: string, args: string[], cwd = project): string {
  const done = spawnSync(command, args, { cwd, encoding: "utf8", shell: command === "npm" && process.platform === "win32" });
  assert.equal(done.status, 0, `${command} ${args.join(" ")}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

before(() => {
  // The build is the one under test; packing would make it anew.
  run("npm", ["pack", "--silent", "--ignore-scripts", "--pack-destination", project], PACKAGE);
  const [tarball] = readdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "app", version: "1.0.0", private: true }));
  run("npm", ["install", "--silent", "--offline", "--no-audit", "--no-fund", `./${String(tarball)}`]);
});

test("it brings nothing with it", () => {
  assert.deepEqual(readdirSync(join(project, "node_modules")).filter((name) => !name.startsWith(".")), ["@scalix"]);
  assert.deepEqual(readdirSync(join(project, "node_modules/@scalix/sidecar-client")).sort(), ["README.md", "dist", "package.json"]);
  assert.deepEqual(readdirSync(join(project, "node_modules/@scalix/sidecar-client/dist")).sort(), ["cjs", "esm"]);
});

const NAMES = ["SidecarClient", "registerSidecarIpc", "createScalixProvider", "collectLegacyHandlers"];

test("it is imported as an ES module and required as CommonJS", () => {
  const say = `console.log(${JSON.stringify(NAMES)}.map((name) => typeof found[name]).join())`;
  const esm = `import * as found from "@scalix/sidecar-client"; ${say}`;
  const cjs = `const found = require("@scalix/sidecar-client"); ${say}`;
  for (const [type, program] of [["module", esm], ["commonjs", cjs]] as const) {
    assert.equal(run(process.execPath, [`--input-type=${type}`, "-e", program]).trim(), NAMES.map(() => "function").join());
  }
});

const PROGRAM = `
  import { createScalixProvider, SidecarClient, type InitializeResult } from "@scalix/sidecar-client";
  const client = new SidecarClient({ command: "x" });
  export const greeting: Promise<InitializeResult> = client.start();
  export const model: "v2" = createScalixProvider(client)("openai/gpt-4.1").specificationVersion;`;

for (const [module, moduleResolution, ...files] of [
  ["NodeNext", "NodeNext", "index.mts", "index.cts"],
  ["ESNext", "Bundler", "index.ts"],
  ["CommonJS", "Node10", "index.ts"],
] as const) {
  test(`its types are found with ${module}, ${moduleResolution}`, () => {
    const folder = mkdtempSync(join(project, "types-"));
    for (const file of files) writeFileSync(join(folder, file), PROGRAM);
    const typeRoots = [join(PACKAGE, "node_modules/@types")];
    const language = { strict: true, noEmit: true, target: "ES2022", lib: ["ES2023"], module, moduleResolution };
    // Once the declarations themselves are checked: they have to stand without the packages of this one.
    const compilerOptions = { ...language, typeRoots, types: ["node"], skipLibCheck: module !== "NodeNext" };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    run(process.execPath, [createRequire(import.meta.url).resolve("typescript/bin/tsc"), "-p", folder]);
  });
}
