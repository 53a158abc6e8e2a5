// A client of Foxglove's protocol: subscribes to everything, and prints what came of each topic as one line of JSON.
//
//   node foxglove.js URL TOKEN SECONDS

import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { FoxgloveClient } = require("@foxglove/ws-protocol");
const WebSocket = require("ws");

const [url, token, seconds] = process.argv.slice(2);
const headers = token ? { authorization: `Bearer ${token}` } : {};
const client = new FoxgloveClient({ ws: new WebSocket(url, ["foxglove.sdk.v1"], { headers }) });
const topics = new Map(), found = {};
let server = null;

function end(problem) {
  console.log(JSON.stringify({ server, found, problem }));
  process.exit(0);
}

client.on("error", error => end(error.message));
client.on("serverInfo", info => { server = info.name; });
client.on("advertise", channels => {
  for (const channel of channels) {
    const bytes = Buffer.from(channel.schema, "base64").length;
    found[channel.topic] = { schema: channel.schemaName, encoding: channel.encoding, schema_bytes: bytes, messages: 0, jpegs: 0 };
    topics.set(client.subscribe(channel.id), channel.topic);
  }
});
client.on("message", ({ subscriptionId, data }) => {
  const of = found[topics.get(subscriptionId)], bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  of.messages++;
  if (bytes.includes(Buffer.from([0xff, 0xd8, 0xff]))) of.jpegs++;
});
setTimeout(() => end(null), 1000 * Number(seconds));
