// The agent of tests/interop/agents.py on Node's `ws`, as a server or a client.
//
// Its one argument is JSON: role, compression, subprotocols, unix, uri, and PEM files
// cert, key and ca for TLS. It prints JSON lines: {"listening": port} when it serves, and
// {"closed": [code, reason]} for each connection that has ended.
"use strict";

const fs = require("fs");
const http = require("http");
const https = require("https");
const { WebSocket, WebSocketServer } = require("ws");

const options = JSON.parse(process.argv[2]);
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
const deflate = options.compression ? { threshold: 0 } : false;
const shared = { perMessageDeflate: deflate, maxPayload: 0 };

function fragments(ws, count, size) {
  for (let at = 0; at < count; at++) {
    ws.send(Buffer.alloc(size, at % 256), { binary: true, fin: at === count - 1 });
  }
}

function obey(ws, words) {
  const [verb, first, second] = words;
  if (verb === "!close") {
    if (first === "none") ws.close();
    else ws.close(Number(first), words.slice(2).join(" "));
  } else if (verb === "!fragments") {
    fragments(ws, Number(first), Number(second));
  } else if (verb === "!ping") {
    ws.ping(first);
  } else if (verb === "!about") {
    ws.send(JSON.stringify({ subprotocol: ws.protocol, extensions: ws.extensions }));
  }
}

function attend(ws) {
  ws.on("message", (data, isBinary) => {
    const text = isBinary ? "" : data.toString();
    if (text.startsWith("!")) obey(ws, text.split(" "));
    else ws.send(data, { binary: isBinary });
  });
  ws.on("pong", (data) => ws.send(`pong ${data}`));
  ws.on("close", (code, reason) => say({ closed: [code, reason.toString()] }));
  ws.on("error", (error) => say({ error: String(error) }));
}

function serve() {
  const files = options.cert && {
    cert: fs.readFileSync(options.cert),
    key: fs.readFileSync(options.key),
  };
  const server = files ? https.createServer(files) : http.createServer();
  const handleProtocols = (offered) =>
    options.subprotocols.find((name) => offered.has(name)) || false;
  new WebSocketServer({ server, handleProtocols, ...shared }).on("connection", attend);
  const ready = () => say({ listening: options.unix ? 0 : server.address().port });
  if (options.unix) server.listen(options.unix, ready);
  else server.listen(0, "127.0.0.1", ready);
}

function visit() {
  const ca = options.ca && fs.readFileSync(options.ca);
  attend(new WebSocket(options.uri, options.subprotocols, { ca, ...shared }));
}

if (options.role === "server") serve();
else visit();
