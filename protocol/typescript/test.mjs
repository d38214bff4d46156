// Runs the compiled tests; which files, Node 20 cannot say by itself on every system.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = join(dirname(fileURLToPath(import.meta.url)), "dist", "test");
const tests = readdirSync(folder).filter((name) => name.endsWith(".test.js"));
const files = tests.map((name) => join(folder, name));
// A test that fails by its time-out leaves a sidecar behind, which would keep its process alive for ever.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
const force = major > 20 || minor >= 14 ? ["--test-force-exit"] : [];
const { status } = spawnSync(process.execPath, ["--test", ...force, ...process.argv.slice(2), ...files], { stdio: "inherit" });
process.exit(status ?? 1);
