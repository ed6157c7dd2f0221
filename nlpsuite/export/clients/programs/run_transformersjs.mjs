// node run_transformersjs.mjs NODE_MODULES < job.json

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { answer } from "./core.mjs";

const library = join(process.argv[2], "@huggingface/transformers/dist/transformers.node.mjs");
const transformers = await import(pathToFileURL(library));
const job = JSON.parse(readFileSync(0, "utf8"));
transformers.env.localModelPath = "/";
console.log(JSON.stringify(await answer(transformers, resolve(job.bundle), job, { device: "cpu" })));
