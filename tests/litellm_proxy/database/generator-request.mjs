// What Prisma's command line sends to a generator of clients, made without it: the command line fetches engines first.
//
//   node generator-request.mjs SCHEMA OUTPUT | PRISMA_GENERATOR_INVOCATION=1 prisma-client-py
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const schemas = require("@prisma/prisma-schema-wasm");
const { version } = require("@prisma/prisma-schema-wasm/package.json");

const [, , schemaPath, output] = process.argv;
const datamodel = readFileSync(schemaPath, "utf8");
const asked = { prismaSchema: datamodel, datasourceOverrides: {}, ignoreEnvVarErrors: true, env: {} };
const { datasources, generators } = JSON.parse(schemas.get_config(JSON.stringify(asked))).config;
const params = {
  datamodel,
  datasources,
  generator: { ...generators[0], output: { value: output, fromEnvVar: null } },
  otherGenerators: [],
  schemaPath,
  version: version.split(".").at(-1),
  dmmf: JSON.parse(schemas.get_dmmf(JSON.stringify({ prismaSchema: datamodel }))),
  binaryPaths: {},
};
process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "generate", params })}\n`);
