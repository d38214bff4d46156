// A sidecar whose wire is the official MCP SDK's server transport: a peer that knows nothing of this package.
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";

const transport = new StdioServerTransport();
const pending = new Map();
transport.onmessage = async (message) => {
  const answer = (result) => transport.send({ jsonrpc: "2.0", id: message.id, result });
  if (message.method === "initialize") await answer({ protocolVersion: 1 });
  else if (message.method === "ask") {
    pending.set("q", answer);
    await transport.send({ jsonrpc: "2.0", id: "q", method: "host:check-problems", params: message.params });
  } else if (message.method === "shutdown") await answer({});
  else if (message.method === "exit") process.exit(0);
  else if (message.method === undefined) await pending.get(message.id)(message.result);
};
await transport.start();
