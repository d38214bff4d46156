/** The real sidecar on a user's folder made for one test, with a scripted provider behind a custom provider row. */

import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { FakeSafeStorage, PACKAGE } from "./support.js";

const ROOT = resolve(PACKAGE, "../..");
const PYTHON = process.env["SCALIX_PYTHON"] ?? join(ROOT, ".venv/bin/python");

/** The sidecar under test: `SCALIX_SIDECAR_COMMAND` (a frozen binary; pytest's `--sidecar`), else this checkout. */
const [COMMAND = PYTHON, ...ARGUMENTS] = process.env["SCALIX_SIDECAR_COMMAND"]?.split(" ") ?? [PYTHON, "-m", "sidecar"];

/** Why tests with the real sidecar cannot run; false when they can. */
export const NO_SIDECAR: string | false = existsSync(PYTHON) ? false : `no Python at ${PYTHON}; set SCALIX_PYTHON`;
export const KEY = "sk-only-in-memory";
export const CANCELLED = "[Response cancelled by user]";

/** A request as the provider got it. */
export interface Asked {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly authorization: string | undefined;
  /** JSON, of whatever shape the vendor wants. */
  readonly body: any;
}

/** How an answer is given. */
export interface Manner {
  /** Stay open before the last frame until it is released or the caller hangs up. */
  readonly hold?: boolean;
  /** Hang up before the last frame. */
  readonly cut?: boolean;
  /** Not 200: the first frame is the whole body. */
  readonly status?: number;
}

/** One answer of the provider, frame by frame. */
export class Frames {
  readonly asked: Promise<Asked>;
  readonly hungUp: Promise<void>;
  #asked!: (request: Asked) => void;
  #hungUp!: () => void;
  #release!: () => void;
  readonly #released: Promise<void>;

  constructor(
    readonly frames: readonly string[],
    readonly manner: Manner = {},
  ) {
    this.asked = new Promise((resolve) => (this.#asked = resolve));
    this.hungUp = new Promise((resolve) => (this.#hungUp = resolve));
    this.#released = new Promise((resolve) => (this.#release = resolve));
  }

  release(): void {
    this.#release();
  }

  async give(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { url: path = "", headers } = request;
    this.#asked({ path, headers, authorization: headers.authorization, body: JSON.parse(String(Buffer.concat(parts))) });
    response.on("close", () => this.#hungUp());
    const { status = 200, hold = false, cut = false } = this.manner;
    if (status !== 200) {
      response.writeHead(status, { "content-type": "application/json", "retry-after": "0" }).end(this.frames[0]);
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const frame of this.frames.slice(0, -1)) await new Promise((written) => response.write(frame, written));
    if (hold) await Promise.race([this.#released, this.hungUp]);
    if (cut) response.destroy();
    else response.end(this.frames.at(-1));
  }
}

/** One answer in chat completions' words; held open after its pieces where asked. */
export class Answer extends Frames {
  constructor(pieces: readonly string[], hold = false, status = 200) {
    const say = (choice: object): string => `data: ${JSON.stringify({ id: "c", choices: [{ index: 0, ...choice }] })}\n\n`;
    const refusal = JSON.stringify({ error: { message: "The key is not valid.", code: "invalid_api_key" } });
    const last = `${say({ delta: {}, finish_reason: "stop" })}data: [DONE]\n\n`;
    super(status === 200 ? [...pieces.map((content) => say({ delta: { content } })), last] : [refusal], { hold, status });
  }
}

/** A provider, an app folder, chats. */
export class Installation {
  readonly folder = mkdtempSync(join(tmpdir(), "sidecar-node-"));
  readonly safeStorage = new FakeSafeStorage();
  readonly settingsFile = join(this.folder, "user-settings.json");
  chats: number[] = [];
  readonly #answers: Frames[] = [];
  /** How many requests the provider got. */
  requests = 0;
  readonly #server: Server = createServer((request, response) => {
    this.requests += 1;
    const answer = this.#answers.shift();
    if (answer === undefined) response.writeHead(500).end("nothing is scripted");
    else void answer.give(request, response);
  });

  static async create(): Promise<Installation> {
    const made = new Installation();
    made.#server.listen(0, "127.0.0.1");
    await once(made.#server, "listening");
    const { port } = made.#server.address() as AddressInfo;
    made.chats = made.python<number[]>(`
from tests.app_database import *
path = ${JSON.stringify(join(made.folder, "sqlite.db"))}
create_app_database(path)
app = insert_app(path, name="app", path=${JSON.stringify(join(made.folder, "app"))})
insert_provider(path, api_base_url="http://127.0.0.1:${port}/v1")
insert_model(path)
result = [insert_chat(path, app), insert_chat(path, app)]`);
    const value = made.safeStorage.encryptString(KEY).toString("base64");
    writeFileSync(
      made.settingsFile,
      JSON.stringify({
        selectedModel: { provider: "custom::testing", name: "test-model" },
        providerSettings: { "custom::testing": { apiKey: { value, encryptionType: "electron-safe-storage" } } },
      }),
    );
    return made;
  }

  /** How the client starts the sidecar. */
  get sidecar(): { command: string; args: string[]; cwd: string; env: NodeJS.ProcessEnv } {
    const { PATH, HOME, LANG, SYSTEMROOT, TMPDIR } = process.env;
    return {
      command: COMMAND.includes("/") ? resolve(ROOT, COMMAND) : COMMAND,
      args: [...ARGUMENTS, "serve", "--user-data", this.folder],
      cwd: ROOT,
      env: Object.fromEntries(Object.entries({ PATH, HOME, LANG, SYSTEMROOT, TMPDIR }).filter(([, value]) => value !== undefined)),
    };
  }

  /** The same, with the vendors' addresses leading to the scripted provider too. */
  get vendors(): Installation["sidecar"] {
    const { port } = this.#server.address() as AddressInfo;
    const names = { ANTHROPIC: "ANTHROPIC_API_KEY", OPENAI: "OPENAI_API_KEY", GOOGLE: "GEMINI_API_KEY" };
    const addresses = Object.entries(names).flatMap(([vendor, key]) => [
      [`SCALIX_${vendor}_BASE_URL`, `http://127.0.0.1:${port}/v1`],
      [key, "key-of-nobody"],
    ]);
    return { ...this.sidecar, env: { ...this.sidecar.env, ...(Object.fromEntries(addresses) as NodeJS.ProcessEnv) } };
  }

  /** What the provider says next. */
  script(...answers: Frames[]): void {
    this.#answers.push(...answers);
  }

  /** (role, content) of a chat's rows. */
  rows(chat: number): [string, string][] {
    const path = JSON.stringify(join(this.folder, "sqlite.db"));
    return this.python(`
from tests.app_database import rows
found = rows(${path}, "SELECT role, content FROM messages WHERE chat_id = ? ORDER BY id", ${chat})
result = [(row["role"], row["content"]) for row in found]`);
  }

  /** Run a snippet in the project; its `result`. */
  python<Result>(snippet: string): Result {
    const code = `${snippet}\nimport json\nprint(json.dumps(result))`;
    const done = spawnSync(PYTHON, ["-c", code], { cwd: ROOT, encoding: "utf8" });
    if (done.status !== 0) throw new Error(done.stderr);
    return JSON.parse(done.stdout) as Result;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
