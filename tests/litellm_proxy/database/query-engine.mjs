#!/usr/bin/env node
// Prisma's query engine as its Python client starts it (PRISMA_QUERY_ENGINE_BINARY): an HTTP server on `-p PORT` that
// answers queries from DATABASE_URL. The engine inside is Prisma's own, of the very commit the client asks for, as
// WebAssembly; the native one comes from no package registry.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import pg from "pg";
import { PrismaPg } from "@prisma/adapter-pg";
import { bindAdapter } from "@prisma/driver-adapter-utils";
import * as glue from "@prisma/query-engine-wasm/postgresql/query_engine_bg.js";
import { fromJson, modelsOf, toJson } from "./graphql-to-json.mjs";

const require = createRequire(import.meta.url);
const NO_TRACE = "{}";

if (process.argv[2] === "--version") {
  const { version } = require("@prisma/query-engine-wasm/package.json");
  console.log(`query-engine ${version.split(".").at(-1)}`);
  process.exit(0);
}

// Columns of the catalogue's type `name` and lists of them, which the adapter does not know, are text to it.
const TEXT_OF = { 19: 25, 1003: 1009 };

class Client extends pg.Client {
  query(...words) {
    const done = words.at(-1);
    if (typeof done !== "function") return super.query(...words).then(readable);
    return super.query(...words.slice(0, -1), (error, result) => done(error, readable(result)));
  }
}

function readable(result) {
  for (const field of result?.fields ?? []) field.dataTypeID = TEXT_OF[field.dataTypeID] ?? field.dataTypeID;
  return result;
}

const address = new URL(process.env.DATABASE_URL);
const schema = readFileSync(process.env.PRISMA_DML_PATH, "utf8");
const models = modelsOf(schema);
// One connection: PGlite takes the queries of several in turns, and mixes up their unnamed statements.
const pool = new pg.Pool({ connectionString: address.href, max: 1, Client });
pool.on("error", () => {}); // an idle connection that broke; the next query makes a new one
const adapter = bindAdapter(new PrismaPg(pool));

const wasm = readFileSync(require.resolve("@prisma/query-engine-wasm/postgresql/query_engine_bg.wasm"));
const { instance } = await WebAssembly.instantiate(wasm, { "./query_engine_bg.js": glue });
glue.__wbg_set_wasm(instance.exports);
const engine = new glue.QueryEngine({ datamodel: schema, logLevel: "error" }, () => {}, adapter);
await engine.connect(NO_TRACE);

/** Says what the native engine says where the database cannot be reached; here that is an error of the JavaScript. */
function told(result) {
  for (const each of result.errors ?? []) {
    const cause = adapter.errorRegistry.consumeError(each.user_facing_error?.meta?.id)?.error;
    if (!cause?.code && !/terminated/.test(cause?.message)) continue;
    const where = `\`${address.hostname}:${address.port}\``;
    const message = `Can't reach database server at ${where}\n\nPlease make sure your database server is running at ${where}.`;
    each.user_facing_error = { is_panic: false, message, meta: {}, error_code: "P1001" };
  }
  return result;
}

async function query(text, transaction) {
  const asked = JSON.parse(text);
  const queries = (asked.batch ?? [asked]).map((each) => toJson(each.query, models));
  const bodies = queries.map((each) => each.body);
  const body = asked.batch ? { batch: bodies, ...(asked.transaction ? { transaction: {} } : {}) } : bodies[0];
  const result = told(JSON.parse(await engine.query(JSON.stringify(body), NO_TRACE, transaction)));
  if (!asked.batch || result.errors) return fromJson(result, queries[0]);
  return { batchResult: result.batchResult.map((each, index) => fromJson(told(each), queries[index])) };
}

async function answer(request, text) {
  const [, first, id, verb] = request.url.split("?")[0].split("/");
  if (first === "status") return { status: "ok" };
  if (first === "metrics") return { counters: [], gauges: [], histograms: [] };
  if (first !== "transaction") return query(text, request.headers["x-transaction-id"]);
  if (id === "start") return told(JSON.parse(await engine.startTransaction(text, NO_TRACE)));
  return told(JSON.parse(await engine[`${verb}Transaction`](id, NO_TRACE)));
}

const server = createServer(async (request, response) => {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  try {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(await answer(request, text)));
  } catch (error) {
    console.error(`query engine: ${error.stack}\n${text}`);
    response.destroy();
  }
});
server.listen(Number(process.argv[process.argv.indexOf("-p") + 1]), "localhost");
process.on("SIGINT", () => process.exit(0));
