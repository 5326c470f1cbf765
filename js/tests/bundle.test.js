/** What bundlers make of it: who imports one thing gets that, and what it needs. */

import assert from "node:assert/strict";
import { mkdtempSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";

import * as esbuild from "esbuild";
import { rollup } from "rollup";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** @param {import("node:test").TestContext} t @param {string} source */
function makeProject(t, source) {
  const folder = mkdtempSync(join(tmpdir(), "longwire-"));
  t.after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules", "longwire"), "dir");
  const file = join(folder, "page.js");
  writeFileSync(file, source);
  return file;
}

/** @param {string} code */
const minified = async (code) => (await esbuild.transform(code, { minify: true, target: "es2022" })).code;

/** Each makes one text of a page and all that it needs. @type {Record<string, (file: string) => Promise<string>>} */
const BUNDLERS = {
  async esbuild(file) {
    const { outputFiles } = await esbuild.build({
      entryPoints: [file], bundle: true, format: "esm", minify: true, write: false, target: "es2022",
    });
    return outputFiles[0].text;
  },
  async rollup(file) {
    /** @type {Record<string, string>} */
    const files = {
      longwire: join(root, "src", "longwire.js"), "longwire/classic": join(root, "dist", "longwire.classic.js"),
    };
    const bundle = await rollup({
      input: file,
      // It is not told what package.json says of side effects, but finds out by itself.
      plugins: [{ name: "resolve", resolveId: (/** @type {string} */ id) => files[id] }],
      onLog: (_, { message }) => assert.fail(message),
    });
    const { output } = await bundle.generate({ format: "esm" });
    return minified(output[0].code);
  },
};

const RPC = /jsonrpc|\$\/ping|StreamMismatch|maxPending/;
const HUB = /unsubscribe|GapError/;
const RECONNECTS = /bufferedAmount/;

for (const [name, bundle] of Object.entries(BUNDLERS)) {
  describe(name, () => {
    for (const from of ["longwire", join(root, "dist", "longwire.js")]) {
      const where = from === "longwire" ? "the package" : "the single file";

      test(`Client of ${where} comes without calls`, async (t) => {
        const file = makeProject(t, `import { Client } from ${JSON.stringify(from)};\nglobalThis.made = new Client("ws://x/");`);

        const code = await bundle(file);

        t.diagnostic(`${code.length} bytes, ${gzipSync(code).length} gzipped`);
        assert.match(code, RECONNECTS);
        assert.doesNotMatch(code, RPC);
        assert.ok(gzipSync(code).length < 3700);
      });

      test(`Rpc of ${where} comes without topics`, async (t) => {
        const file = makeProject(t, `import { Rpc } from ${JSON.stringify(from)};\nglobalThis.made = new Rpc("ws://x/");`);

        const code = await bundle(file);

        assert.match(code, RPC);
        assert.doesNotMatch(code, HUB);
        assert.ok(gzipSync(code).length < 10_500, `${gzipSync(code).length} bytes`);
      });

      test(`errors of ${where} come without connections`, async (t) => {
        const file = makeProject(t, `import { Code, RemoteError } from ${JSON.stringify(from)};
          globalThis.made = [Code.TOO_BUSY, RemoteError];`);

        const code = await bundle(file);

        assert.doesNotMatch(code, RECONNECTS);
        assert.ok(gzipSync(code).length < 700);
      });

      test(`importing ${where} without using it brings nothing`, async (t) => {
        const file = makeProject(t, `import { Rpc, WSRPC } from ${JSON.stringify(from)};\nglobalThis.made = 1;`);

        const code = await bundle(file);

        assert.ok(code.length < 100, code);
      });
    }

    test("the classic script is there for what it does", async (t) => {
      const code = await bundle(makeProject(t, 'import "longwire/classic";'));

      assert.match(code, /WSRPC/);
      assert.match(code, RPC);
    });

    test("what is bundled works", async (t) => {
      const file = makeProject(t, 'export { Rpc } from "longwire";');
      writeFileSync(`${file}.mjs`, await bundle(file));

      const { Rpc } = await import(String(pathToFileURL(`${file}.mjs`)));

      assert.equal(new Rpc("ws://127.0.0.1:1/").state(), "CLOSED");
    });
  });
}
