// Node's ws, as agents.py has the others: "server", or "client URI PLAN".
"use strict";

const { WebSocket, WebSocketServer } = require("ws");

const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const [role, uri, plan] = process.argv.slice(2);
const perMessageDeflate = { threshold: 1024 };

function echo(ws) {
  ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary }));
  ws.on("error", () => {}); // the other side tells how it ended
}

function visit(number) {
  if (number === plan.length) return;
  const subprotocols = plan[number] === "s" ? ["chat", "superchat"] : [];
  const options = { perMessageDeflate, handshakeTimeout: 5000, maxPayload: 1 << 20 };
  const ws = new WebSocket(uri, subprotocols, options);
  let opened = false;
  ws.on("open", () => say({ open: number }) || (opened = true));
  ws.on("close", () => visit(number + 1));
  ws.on("error", (error) => opened || say({ refused: error.message }));
  echo(ws);
}

if (role === "server") {
  const server = new WebSocketServer({
    port: 0,
    host: "127.0.0.1",
    perMessageDeflate,
    maxPayload: 1 << 20,
  });
  server.on("connection", echo);
  server.on("listening", () => say({ port: server.address().port }));
} else {
  visit(0);
}
