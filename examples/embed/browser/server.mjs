// Serves this page with exported tasks and the modules from node_modules:
//
//   npm install --prefix ../nlpsuite-js
//   node server.mjs ../../../exported/sentiment ../../../exported/summarize
//
// Then open http://127.0.0.1:8001.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { basename, dirname, extname, join, normalize, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" };
const here = dirname(fileURLToPath(import.meta.url));
const client = resolve(here, "../nlpsuite-js");
const tasks = new Map(process.argv.slice(2).map((directory) => [basename(resolve(directory)), resolve(directory)]));
const port = Number(process.env.PORT ?? 8001);

function fileOf(path) {
  const [, root, name, ...rest] = normalize(path).split("/");
  if (root === "modules") return join(client, "node_modules", name, ...rest);
  if (root === "nlpsuite-js") return join(client, name);
  if (root === "tasks" && tasks.has(name)) return join(tasks.get(name), ...rest);
  return join(here, root || "index.html");
}

const server = createServer(async (request, response) => {
  const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
  // Threads need a page that shares its memory with nobody.
  response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
  response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
  if (path === "/tasks.json") {
    response.setHeader("Content-Type", "application/json").end(JSON.stringify([...tasks.keys()]));
    return;
  }
  try {
    const file = fileOf(path);
    const { size } = await stat(file);
    response.setHeader("Content-Type", TYPES[extname(file)] ?? "application/octet-stream");
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? []; // transformers.js asks for sizes so
    const start = Number(from ?? 0);
    const end = Math.min(to ? Number(to) : size - 1, size - 1);
    if (from !== undefined) response.setHeader("Content-Range", `bytes ${start}-${end}/${size}`);
    response.writeHead(from === undefined ? 200 : 206, { "Content-Length": size ? end - start + 1 : 0 });
    createReadStream(file, { start, end: Math.max(end, 0) }).pipe(response);
  } catch {
    response.writeHead(404).end();
  }
});
server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
