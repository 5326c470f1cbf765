/** What is handed out: small, complete, and the same to every importer. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import * as source from "../src/longwire.js";

const MAX = 13_500; // bytes, minified and gzipped

/** @param {string} file */
const read = (file) => readFileSync(new URL(`../dist/${file}`, import.meta.url));

for (const file of ["longwire.min.js", "longwire.classic.js"]) {
  test(`${file} is under 13.5 KB gzipped`, (t) => {
    const size = gzipSync(read(file)).length;

    t.diagnostic(`${file}: ${size} bytes gzipped, ${read(file).length} plain`);
    assert.ok(size < MAX, `${size} bytes`);
  });
}

for (const file of ["longwire.js", "longwire.min.js"]) {
  test(`${file} exports what the source does`, async () => {
    const built = await import(`../dist/${file}`);

    assert.deepEqual(Object.keys(built).sort(), Object.keys(source).sort());
    assert.equal(new built.Rpc("ws://127.0.0.1/").state(), "CLOSED");
  });
}

test("the files begin with the version of the package", () => {
  const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8"));
  const python = readFileSync(new URL("../../src/longwire/__init__.py", import.meta.url), "utf8");

  assert.match(String(read("longwire.min.js")), new RegExp(`^/\\*! longwire ${version},`));
  assert.ok(python.includes(`__version__ = "${version}"`));
});

test("the files need nothing but what browsers have", () => {
  for (const file of ["longwire.js", "longwire.min.js", "longwire.classic.js"]) {
    assert.doesNotMatch(String(read(file)), /\brequire\(|\bfrom ?["']|\bprocess\.|\bBuffer\b|node:/);
  }
});
