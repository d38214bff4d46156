// Runs the compiled tests; which files, Node 20 cannot say by itself on every system.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(dirname(fileURLToPath(import.meta.url)), "dist", "test");
const tests = readdirSync(folder).filter((name) => name.endsWith(".test.js"));
const files = tests.map((name) => join(folder, name));
const { status } = spawnSync(process.execPath, ["--test", ...process.argv.slice(2), ...files], { stdio: "inherit" });
process.exit(status ?? 1);
