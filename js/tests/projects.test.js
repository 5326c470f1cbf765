/** Projects of users, as strict as TypeScript can be, with and without a bundler: each compiles. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..");
const run = promisify(execFile);

/** Today's, and the one before it, which is slower; the projects that it compiles. @type {Record<string, RegExp>} */
const COMPILERS = { typescript: /./, typescript5: /^bundler|minified|classic/ };

const STRICT = {
  target: "es2022",
  lib: ["es2022", "dom", "dom.iterable"],
  types: [],
  noEmit: true,
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noImplicitOverride: true,
  noPropertyAccessFromIndexSignature: true,
  noUnusedLocals: true,
  noFallthroughCasesInSwitch: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  skipLibCheck: false,
};

/**
 * @typedef {object} Project
 * @property {object} options
 * @property {string} page what it imports longwire from; "" for the script's globals
 * @property {string[]} [scripts] files that lie in the project, as copied from where they are served
 */

/** @type {Record<string, Project>} */
const PROJECTS = {
  bundler: { options: { module: "esnext", moduleResolution: "bundler" }, page: "longwire" },
  node16: { options: { module: "node16", moduleResolution: "node16" }, page: "longwire" },
  nodenext: { options: { module: "nodenext", moduleResolution: "nodenext" }, page: "longwire" },
  "modules without a bundler": {
    options: { module: "es2022", moduleResolution: "bundler" },
    page: "./static/longwire.js",
    scripts: ["longwire.js", "longwire.d.ts"],
  },
  "modules without a bundler, minified": {
    options: { module: "nodenext", moduleResolution: "nodenext" },
    page: "./static/longwire.min.js",
    scripts: ["longwire.min.js", "longwire.min.d.ts", "longwire.d.ts"],
  },
  "a classic script": {
    options: { module: "es2022", moduleResolution: "bundler", verbatimModuleSyntax: false, isolatedModules: false },
    page: "",
    scripts: ["longwire.classic.d.ts"],
  },
};

/** @param {import("node:test").TestContext} t @param {Project} project @param {Record<string, string>} sources */
function makeProject(t, { options, page, scripts }, sources) {
  const folder = mkdtempSync(join(tmpdir(), "longwire-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "node_modules"));
  if (page === "longwire") symlinkSync(root, join(folder, "node_modules", "longwire"), "dir");
  for (const script of scripts ?? []) cpSync(join(root, "dist", script), join(folder, "static", script));
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({
    compilerOptions: { ...STRICT, ...options }, include: ["*.ts", "static/*.d.ts"],
  }));
  for (const [name, text] of Object.entries(sources)) writeFileSync(join(folder, name), text);
  return folder;
}

/** What the compiler complains of. @param {string} compiler @param {string} folder */
async function complaints(compiler, folder) {
  const tsc = join(root, "node_modules", compiler, "bin", "tsc");
  return run(process.execPath, [tsc, "-p", folder]).then(() => "", ({ stdout, stderr }) => `${stdout}${stderr}`);
}

/** The names a page imports. */
const NAMES = [
  "Client", "Code", "DisconnectedError", "RemoteError", "Rpc", "RpcError", "RpcStream", "TimeoutError", "WSRPC",
];
const TYPES = ["CallOptions", "CloseReport", "RpcOptions", "State", "StreamOptions", "ClientOptions"];

/** @param {string} page */
const imported = (page) => (page
  ? `import { ${NAMES.join(", ")}, ${TYPES.map((name) => `type ${name}`).join(", ")} } from "${page}";\n`
  : [
    `const { ${NAMES.filter((name) => name !== "WSRPC").join(", ")} } = longwire;`,
    ...NAMES.filter((name) => !["Code", "WSRPC"].includes(name)).map((name) => (
      ["Rpc", "RpcStream"].includes(name) ? "" : `type ${name} = longwire.${name};`
    )),
    "type Rpc<Routes extends Record<keyof Routes, any> = Record<string, any>> = longwire.Rpc<Routes>;",
    "type RpcStream<T> = longwire.RpcStream<T>;",
    ...TYPES.map((name) => `type ${name} = longwire.${name};`),
    "",
  ].join("\n"));

/** Uses everything there is; what is wrong is marked as such, and must be found. */
const PROGRAM = `
interface Routes {
  "add": { params: [a: number, b: number] | { a: number; b: number }; result: number };
  "math.more.add": { params: [a: number, b: number]; result: number };
  "math.more": { params: []; result: string };
  "greet": { params: [name: string, greeting?: string] | { name: string; greeting?: string }; result: string };
  "now": { params: []; result: string };
  "maybe": { params: [name?: string] | { name?: string }; result: string | null };
  "only.named": { params: { size: number }; result: void };
  "all.optional": { params: { size?: number }; result: void };
  "any": { params: unknown; result: unknown };
  "count": { params: [n: number]; items: number };
  "ticks": { params: []; items: { price: number } };
}

function makeOptions(signal: AbortSignal | undefined, timeout: number | undefined): RpcOptions {
  return {
    wire: undefined, timeout, offline: undefined, maxQueue: undefined, maxPending: undefined, maxCalls: undefined,
    maxMessage: undefined, tracebacks: undefined, errors: undefined, onFrame: undefined, reconnect: { first: undefined },
    heartbeat: { interval: timeout, probe: undefined }, openTimeout: undefined, protocols: undefined,
  };
}

async function untyped(signal: AbortSignal | undefined, timeout: number | undefined): Promise<number> {
  const rpc = new Rpc("/rpc", makeOptions(signal, timeout)).connect();
  const call: CallOptions = { signal, timeout, noWait: undefined };
  const sum: number = await rpc.call("add", [1, 2], call);
  const deep: string = await rpc.proxy.math.more.add([1, 2], call);
  const never: CallOptions = { timeout: null };
  await rpc.call("no.arguments", undefined, never);
  await rpc.call("no.arguments");
  await rpc.notify("anything", { a: 1 });
  const streaming: StreamOptions = { signal, window: undefined, resubscribe: undefined };
  const stream: RpcStream<number> = rpc.stream("count", [3], streaming);
  for await (const i of stream) i.toFixed(2);
  rpc.addRoute("who", function (greeting: string) { return this.signal.aborted ? greeting : this.name; });
  rpc.on("close", (report: CloseReport) => report.cause === "local");
  const state: State = rpc.state();
  return sum + deep.length + state.length + rpc.stateCode();
}

async function typed(rpc: Rpc<Routes>): Promise<void> {
  const sum: number = await rpc.call("add", [1, 2]);
  const named: number = await rpc.call("add", { a: sum, b: 2 }, { timeout: 5 });
  const dotted: number = await rpc.call("math.more.add", [named, 2]);
  const now: string = await rpc.call("now");
  await rpc.call("now", []);
  await rpc.call("now", undefined, { noWait: true });
  await rpc.call("greet", ["Ada"]);
  await rpc.call("greet", { name: "Ada" });
  const nothing: string | null = await rpc.call("maybe");
  await rpc.call("only.named", { size: dotted });
  await rpc.call("all.optional");
  await rpc.call("any");
  await rpc.call("any", 7);
  for await (const i of rpc.stream("count", [3])) i.toFixed(now.length);
  for await (const { price } of rpc.stream("ticks")) price.toFixed(nothing?.length);
  await rpc.notify("now");
  await rpc.notify("count", [1]);

  const viaProxy: number = await rpc.proxy.add([1, 2]);
  const deep: number = await rpc.proxy.math.more.add([viaProxy, 2], { timeout: null });
  const middle: string = await rpc.proxy.math.more();
  await rpc.proxy.only.named({ size: deep + middle.length });
  await rpc.proxy.now();

  // @ts-expect-error: arguments are missing
  rpc.call("add");
  // @ts-expect-error: an argument is missing
  rpc.call("add", [1]);
  // @ts-expect-error: an argument by name is missing
  rpc.call("add", { a: 1 });
  // @ts-expect-error: there are too many
  rpc.call("add", [1, 2, 3]);
  // @ts-expect-error: undefined is none of them
  rpc.call("add", undefined, { timeout: 5 });
  // @ts-expect-error: null is none of them
  rpc.call("only.named", null);
  // @ts-expect-error: one of another type
  rpc.call("add", [1, "2"]);
  // @ts-expect-error: a route without arguments gets one
  rpc.call("now", [1]);
  // @ts-expect-error: arguments are missing
  rpc.call("only.named");
  // @ts-expect-error: arguments are missing
  rpc.notify("add");
  // @ts-expect-error: arguments are missing
  rpc.stream("count");
  // @ts-expect-error: arguments are missing
  rpc.proxy.add();
  // @ts-expect-error: arguments are missing
  rpc.proxy.math.more.add();
  // @ts-expect-error: no such route
  rpc.call("subtract", [1, 2]);
  // @ts-expect-error: no such route
  rpc.proxy.math.less.add([1, 2]);
  // @ts-expect-error: a stream is no plain route
  rpc.call("count", [1]);
  // @ts-expect-error: a plain route is no stream
  rpc.stream("add", [1, 2]);
  // @ts-expect-error: a result of another type
  const wrong: string = await rpc.call("add", [1, 2]);
  // @ts-expect-error: no such option
  rpc.call("now", [], { patience: wrong });
  // @ts-expect-error: options of streams are not those of calls
  rpc.call("now", [], { window: 5 });
}

function others(error: unknown): string | undefined {
  const client: Client = new Client(async () => "wss://example.org/", { protocols: ["a"], heartbeat: true } satisfies ClientOptions);
  const old: Rpc = WSRPC("/ws/", 5000);
  const older: Rpc = new WSRPC("/ws/", 5000, { wire: "wsrpc.1" });
  if (error instanceof DisconnectedError) return error.report?.reason;
  if (error instanceof RemoteError && error.code === Code.NOT_AUTHORISED) return error.traceback;
  if (error instanceof TimeoutError || error instanceof RpcError) return error.type;
  return [client.state, old.state(), older.state()].join();
}

class Named extends RemoteError {}
const known = new Rpc<Routes>("/rpc", { errors: { Named }, tracebacks: true });
void [untyped(undefined, undefined), typed(known), others(null)];
`;

const CLASSIC = `
const plain = RPC("/rpc", { timeout: 5 });
const table = RPC<Routes>("/rpc").connect();
const made: longwire.Rpc<Routes> = new longwire.Rpc("/rpc");
table.call("add", [1, 2]).then((sum) => sum.toFixed(2));
plain.call("add", [1, 2]).then((sum) => sum);
made.connect();
// As pages of the wsrpc family do it.
RPC = WSRPC("/ws/", 5000, { wire: "wsrpc.1" });
RPC.addRoute("whoAreYou", function (data: string) { return data + navigator.userAgent; });
RPC.addEventListener("onconnect", function () { RPC.call("test.serverSideFunction", [1, 2, 3]).then(console.log); });
RPC.connect();
const kept: longwire.Rpc = new WSRPC("/ws/");
kept.destroy();
// @ts-expect-error: it has no such method
RPC.reconnect();
// @ts-expect-error: arguments are missing
table.call("add");
// @ts-expect-error: an address is text
RPC(7);
// @ts-expect-error: there is no such name
longwire.Link;
`;

for (const [compiler, which] of Object.entries(COMPILERS)) {
  describe(compiler, { concurrency: 2 }, () => {
    for (const [name, project] of Object.entries(PROJECTS)) {
      if (!which.test(name)) continue;
      test(name, async (t) => {
        const { page } = project;
        const program = `${imported(page)}${PROGRAM}${page ? "export {};\n" : CLASSIC}`;

        /** @type {Record<string, string>} */
        const sources = { "page.ts": program };
        if (!page) sources["kept.ts"] = 'var RPC = WSRPC("/ws/", 5000);\nRPC.connect();\n';

        assert.equal(await complaints(compiler, makeProject(t, project, sources)), "");
      });
    }
  });
}
