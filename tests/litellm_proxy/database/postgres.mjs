// Postgres (PGlite: Postgres itself, as WebAssembly) on a loopback port, in memory, with the proxy's migrations applied.
//
//   node postgres.mjs MIGRATIONS
//
// Says `port N` when it can be asked. A line `down` on its stdin hangs up on everybody and stops listening, `up`
// listens again on the same port; each is answered with itself. The end of stdin ends it.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PGlite } from "@electric-sql/pglite";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";

const HOST = "127.0.0.1";

const db = await PGlite.create();
const migrations = process.argv[2];
for (const name of readdirSync(migrations).sort()) {
  const file = join(migrations, name, "migration.sql");
  if (existsSync(file)) await db.exec(readFileSync(file, "utf8"));
}

async function listen(port) {
  const started = new PGLiteSocketServer({ db, host: HOST, port });
  await started.start();
  return started;
}

let server = await listen(0);
const port = Number(server.getServerConn().split(":").at(-1));
console.log(`port ${port}`);
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "down") await server.stop();
  if (line === "up") server = await listen(port);
  console.log(line);
}
process.exit(0);
