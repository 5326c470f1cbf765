// A page that follows a topic of a hub, on Node: `node hub.js '{"uri", "topic", "options"}'`.
//
// It prints what happens as JSON lines: ["subscribed", recovered], ["message", data],
// ["gap", reason, missed], ["unsubscribed", message]. Lines on stdin are published; an
// empty one cuts the connection without a word.
"use strict";

const { join } = require("path");
const { createInterface } = require("readline");
const { pathToFileURL } = require("url");
const WebSocket = require("ws");

const file = join(__dirname, "../../../src/longwire/rpc/static/longwire.min.js");
const { uri, topic, options } = JSON.parse(process.argv[2]);
const say = (...what) => process.stdout.write(JSON.stringify(what) + "\n");

let socket;
class Watched extends WebSocket {
  constructor(...args) {
    super(...args);
    socket = this;
  }
}

import(pathToFileURL(file)).then(({ Hub, Rpc }) => {
  const rpc = new Rpc(uri, { WebSocket: Watched, reconnect: 50 }).connect();
  const sub = new Hub(rpc).subscribe(topic, options);
  sub.on("subscribed", ({ recovered }) => say("subscribed", recovered));
  sub.on("message", (data) => say("message", data));
  sub.on("gap", ({ reason, missed }) => say("gap", reason, missed));
  sub.on("presence", ({ clients }) => say("presence", clients));
  sub.on("unsubscribed", ({ message }) => say("unsubscribed", message));

  createInterface({ input: process.stdin })
    .on("line", (line) => (line ? sub.publish(JSON.parse(line)) : socket.terminate()))
    .on("close", () => process.exit());
});
