/**
 * Builds dist/: the module, plain and minified, the classic script, and their types.
 *
 *     node build.js            into dist/ and the Python package, which serves these files
 *     node build.js --check    says which files of the Python package are not those
 *
 * The output depends on nothing but the sources and the pinned tools.
 */

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
const served = join(here, "..", "src", "longwire", "rpc", "static");
const SCRIPTS = ["longwire.js", "longwire.min.js", "longwire.classic.js"];
const SERVED = [...SCRIPTS, ...SCRIPTS.map((file) => file.replace(/js$/, "d.ts"))];

const { name, version, license } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const banner = { js: `/*! ${name} ${version}, ${license} */` };
const common = { absWorkingDir: here, bundle: true, target: "es2022", charset: "utf8", banner };

/** Modules with public types, in the order in which they need each other. */
const MODULES = ["errors", "emitter", "client", "stream", "settings", "routes", "rpc", "follower", "subscription", "hub", "wsrpc"];
// What only makes sense in one of many files, or says the same a second time.
const SUPERFLUOUS = [
  /^import .*;\n/gm,
  /^export \{\};\n/gm,
  /^ *\/\*\* ?@(typedef|import) .*\*\/\n/gm,
  /^\/\*\*\n( \*.*\n)*? \* @typedef [^]*?\*\/\n/gm,
];

/** The modules' types, one after the other, and the names that are exported. */
function types() {
  const tsc = join(here, "node_modules", "typescript", "bin", "tsc");
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.json"], { cwd: here, stdio: "inherit" });
  const parts = MODULES.map((module) => {
    const text = readFileSync(join(dist, "types", `${module}.d.ts`), "utf8");
    return SUPERFLUOUS.reduce((rest, found) => rest.replace(found, ""), text).trim();
  });
  const exported = readFileSync(join(here, "src", "longwire.js"), "utf8").matchAll(/\{ (.*) \}/g);
  const names = [...exported].flatMap(([, list]) => list.split(", "));
  const all = parts.join("\n\n").replace(/^(export )?(declare )?(class|const|function) /gm, "$3 ");
  return { all, exported: `export { ${names.join(", ")} };` };
}

/** A classic script has no exports: it defines names for all scripts of the page. */
const CLASSIC = `
/**
 * \`RPC(url, options)\` makes an \`Rpc\`. A page may as well keep its connection under this name,
 * \`RPC = WSRPC(url)\`: that what WSRPC makes can be called is only said so that it fits.
 */
export interface ClassicRPC extends Rpc {
  <Routes extends Record<keyof Routes, any> = Record<string, any>>(
    url: Address, options?: RpcOptions | null
  ): Rpc<Routes>;
}
export type ClassicWSRPC = {
  (...args: Parameters<typeof make>): ClassicRPC;
  new (...args: Parameters<typeof make>): ClassicRPC;
} & typeof Rpc;`.trim();

/** Types for whoever has no bundler, of each script that is served. */
function writeTypes() {
  const { all, exported } = types();
  const declared = all.replace(/^(class|const|function) /gm, "declare $1 ");
  /** @type {Record<string, string>} */
  const files = {
    "longwire.d.ts": `${declared}\n\n${exported}`,
    "longwire.min.d.ts": 'export * from "./longwire.js";',
    "longwire.classic.d.ts": [
      `declare namespace longwire {\n${`${all}\n\n${CLASSIC}\n\n${exported}`.replace(/^(?=.)/gm, "  ")}\n}`,
      "declare var WSRPC: longwire.ClassicWSRPC;",
      "declare var RPC: longwire.ClassicRPC;",
    ].join("\n"),
  };
  for (const [file, text] of Object.entries(files)) {
    writeFileSync(join(dist, file), `${banner.js}\n\n${text}\n`);
  }
}

export async function buildAll() {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist, { recursive: true });
  const module = { ...common, entryPoints: ["src/longwire.js"], format: "esm" };
  await build({ ...module, outfile: "dist/longwire.js" });
  await build({ ...module, outfile: "dist/longwire.min.js", minify: true });
  const classic = { ...common, entryPoints: ["src/classic.js"], format: "iife", minify: true };
  await build({ ...classic, outfile: "dist/longwire.classic.js" });
  writeTypes();
}

function stale() {
  const same = (file) => {
    try {
      return readFileSync(join(dist, file)).equals(readFileSync(join(served, file)));
    } catch {
      return false;
    }
  };
  const strangers = readdirSync(served).filter((file) => !SERVED.includes(file));
  return [...SERVED.filter((file) => !same(file)), ...strangers];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildAll();
  mkdirSync(served, { recursive: true });
  if (process.argv.includes("--check")) {
    const found = stale();
    if (found.length) {
      console.error(`src/longwire/rpc/static: not what is built: ${found.join(", ")}; make js`);
      process.exit(1);
    }
  } else {
    for (const file of SERVED) copyFileSync(join(dist, file), join(served, file));
  }
}
