/** What the types of dist/longwire.d.ts let a user write, checked by tsc; never run. */

import {
  Client, Code, DisconnectedError, GapError, Hub, HubCode, RemoteError, Rpc, RpcStream, Subscription, WSRPC,
  type CallOptions, type CloseReport, type RpcOptions, type State,
} from "longwire";

// As `longwire rpc types` writes it.
interface Routes {
  "math.add": { params: [a: number, b: number] | { a: number; b: number }; result: number };
  "count": { params: [n: number]; items: number };
  "now": { params: []; result: string };
}

class OutOfStock extends RemoteError {}

const options: RpcOptions = {
  wire: "longwire.jsonrpc",
  timeout: 1000,
  offline: "keep",
  reconnect: { first: 100, max: 5000 },
  heartbeat: { interval: 1000 },
  errors: { OutOfStock },
};
const rpc: Rpc = new Rpc("/rpc", options).connect();

const sum: number = await rpc.call("add", [1, 2], { signal: AbortSignal.timeout(5) });
const sent: void = await rpc.notify("log", "hi");
const deep: unknown = await rpc.proxy.a.b.c({ size: sum }, { noWait: true });
const prices: RpcStream<number> = rpc.stream("prices", { of: "tea" }, { window: 4, resubscribe: () => {} });
for await (const price of prices) price.toFixed(2);

rpc.addRoute("add", (a: number, b: number) => a + b);
rpc.addRoute("slow", function () { this.resolve(this.signal.aborted); }, true);
rpc.addRoute("count", async function* (n: number) { for (let i = 0; i < n; i++) yield i; });

const id: number = rpc.addEventListener("onclose", (report: CloseReport) => report.cause === "network");
const gone: boolean = rpc.removeEventListener("onclose", id);
const off: () => void = rpc.on("change", (state: State) => state);
const state: "CONNECTING" | "OPEN" | "CLOSING" | "CLOSED" = rpc.state();
const known: CallOptions = { timeout: 5 };

const client: Client = new Client(async () => "wss://example.org/", { protocols: ["a"] });
const old: Rpc = WSRPC("/ws/", 5000);
const older: Rpc = new WSRPC("/ws/", 5000, { wire: "wsrpc.1" });
const debug: boolean = WSRPC.DEBUG;

export function explain(error: unknown): string | undefined {
  if (error instanceof DisconnectedError) return error.report?.reason;
  if (error instanceof RemoteError && error.code === Code.NOT_AUTHORISED) return error.traceback;
  return undefined;
}

const hub: Hub = new Hub(rpc);
const chat: Subscription = hub.subscribe("chat:42", { last: 50, token: async () => "t", presence: "watch" });
chat.on("message", (data, { offset }) => offset);
chat.on("gap", (gap: GapError) => gap.missed);
for await (const { data, position } of chat) position.at(data);
const stored: { offset: number } = await chat.publish({ text: "hi" }, { id: "x" });
const recent: string[] = (await chat.history({ limit: 5 })).map(({ position }) => position);
const missing: boolean = chat.error?.name === String(HubCode.UNKNOWN_TOPIC);
// @ts-expect-error: no such option
hub.subscribe("chat:42", { presence: "yes" });

const typed = new Rpc<Routes>("/rpc").connect();
const three: number = await typed.call("math.add", [1, 2]);
const four: number = await typed.call("math.add", { a: 1, b: 3 }, { timeout: 5 });
const now: string = await typed.call("now");
for await (const i of typed.stream("count", [3])) i.toFixed(three + four + now.length);
await typed.notify("now");
// @ts-expect-error: no such route
typed.call("math.subtract", [1, 2]);
// @ts-expect-error: an argument of another type
typed.call("math.add", [1, "2"]);
// @ts-expect-error: a result of another type
const wrong: string = await typed.call("math.add", [1, 2]);

// @ts-expect-error: a name must be text
rpc.call(7);
// @ts-expect-error: no such wire
new Rpc("/rpc", { wire: "soap" });
// @ts-expect-error: routes are functions
rpc.addRoute("x", 7);
// @ts-expect-error: no such option
rpc.call("x", [], { patience: 5 });
// @ts-expect-error: what ends a stream is not the user's to call
prices.push(7);

export { wrong, client, debug, deep, gone, known, off, old, older, sent, state };
