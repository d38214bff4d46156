// Prisma's two ways to write a query. Its Python client speaks GraphQL; the engine as WebAssembly has only the newer
// JSON protocol. Pure functions: a query there, a result back.
import { Kind, parse } from "graphql";

const ROOT =
  /^(findUnique|findFirst|findMany|createOne|createMany|updateOne|updateMany|upsertOne|deleteOne|deleteMany|aggregate|groupBy|queryRaw|executeRaw)(\w*?)(OrThrow)?$/;

// Operators whose operand is JSON as the field itself is.
const OF_JSON = new Set(["set", "equals", "not", "array_contains", "array_starts_with", "array_ends_with"]);

/** schema.prisma -> {model: {field: type}} */
export function modelsOf(schema) {
  const models = {};
  let model;
  for (const line of schema.split("\n")) {
    const head = /^model (\w+)/.exec(line);
    const field = /^\s+(\w+)\s+(\w+)/.exec(line);
    if (head) models[head[1]] = model = {};
    else if (line.startsWith("}")) model = undefined;
    else if (model && field) model[field[1]] = field[2];
  }
  return models;
}

/** One GraphQL query with one root field -> {name, alias, body}, body as the JSON protocol wants it. */
export function toJson(query, models) {
  const [root] = parse(query).definitions[0].selectionSet.selections;
  const name = root.name.value;
  const [, action, modelName, orThrow = ""] = ROOT.exec(name);
  const body = { action: action + orThrow, query: selected(root, modelName, models) };
  return { name, alias: root.alias?.value ?? name, body: modelName ? { modelName, ...body } : body };
}

/** The engine's result for a query of `toJson` -> the result the GraphQL protocol has. */
export function fromJson(result, { name, alias }) {
  if (result.errors) return { errors: result.errors };
  const [data] = Object.values(result.data);
  return { data: { [alias]: name === "queryRaw" ? rawRows(data) : untagged(data) } };
}

function selected(node, model, models) {
  const query = { arguments: {}, selection: {} };
  for (const { name, value } of node.arguments) query.arguments[name.value] = argument(value, model, models);
  for (const field of node.selectionSet?.selections ?? []) {
    const inner = field.selectionSet || field.arguments.length > 0;
    const name = field.name.value;
    query.selection[name] = inner ? selected(field, models[model]?.[name], models) : true;
  }
  return query;
}

/** `type` is the model, or the type of the field, that the literal belongs to. */
function argument(node, type, models) {
  switch (node.kind) {
    case Kind.INT: {
      const number = Number(node.value);
      return Number.isSafeInteger(number) ? number : { $type: "BigInt", value: node.value };
    }
    case Kind.FLOAT:
      return Number(node.value);
    case Kind.STRING:
      return type === "Json" ? { $type: "Json", value: node.value } : node.value;
    case Kind.BOOLEAN:
      return node.value;
    case Kind.NULL:
      return null;
    case Kind.ENUM:
      return { $type: "Enum", value: node.value };
    case Kind.LIST:
      return node.values.map((item) => argument(item, type, models));
    case Kind.OBJECT:
      return Object.fromEntries(
        node.fields.map(({ name, value }) => [name.value, argument(value, typeInside(type, name.value, models), models)]),
      );
    default:
      throw new Error(`a ${node.kind} in a query`);
  }
}

function typeInside(type, name, models) {
  if (type === "Json") return OF_JSON.has(name) ? type : undefined;
  return models[type]?.[name] ?? type;
}

/** `{$type, value}` -> the value as GraphQL has it: numbers plain, dates, decimals and JSON as strings. */
function untagged(value) {
  if (Array.isArray(value)) return value.map(untagged);
  if (value === null || typeof value !== "object") return value;
  if ("$type" in value) return value.$type === "BigInt" ? Number(value.value) : value.value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, untagged(inner)]));
}

function rawRows({ columns, types, rows }) {
  const read = (value, type) => (type === "json" && typeof value === "string" ? JSON.parse(value) : untagged(value));
  return { columns, types, rows: rows.map((row) => row.map((value, column) => read(value, types[column]))) };
}
