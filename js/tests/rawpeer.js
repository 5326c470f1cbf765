/** A server that shakes hands and then reads, or not, but never says a word. */

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/**
 * @param {import("node:test").TestContext} t
 * @param {{ answer?: boolean, reads?: boolean }} [options] whether it shakes hands and reads
 * @returns {Promise<string>} its address
 */
export async function startMute(t, { answer = true, reads = true } = {}) {
  /** @type {Set<import("node:net").Socket>} */
  const sockets = new Set();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    let head = "";
    socket.on("data", (data) => {
      if (!answer || head.endsWith("\r\n\r\n")) return;
      head += data.toString("latin1");
      const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1];
      if (!head.endsWith("\r\n\r\n") || !key) return;
      const protocol = /^sec-websocket-protocol: *([^,\r]+)/im.exec(head)?.[1];
      const accept = createHash("sha1").update(key + GUID).digest("base64");
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + `Sec-WebSocket-Accept: ${accept}\r\n`
        + (protocol ? `Sec-WebSocket-Protocol: ${protocol}\r\n\r\n` : "\r\n"),
      );
      if (!reads) socket.pause();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `ws://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}/`;
}
