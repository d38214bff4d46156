// Compiles the package twice, as ES modules and as CommonJS, and tells Node which is which.
import { spawnSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");

rmSync(join(here, "dist"), { recursive: true, force: true });
for (const [project, folder, type] of [
  ["tsconfig.json", "esm", "module"],
  ["tsconfig.cjs.json", "cjs", "commonjs"],
]) {
  const { status } = spawnSync(process.execPath, [tsc, "-p", join(here, project)], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
  writeFileSync(join(here, "dist", folder, "package.json"), `${JSON.stringify({ type })}\n`);
}
