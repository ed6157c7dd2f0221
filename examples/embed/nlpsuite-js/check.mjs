// Run a task in Node, or prove that this module does it right:
//
//   node check.mjs ../../../exported/sentiment                 # the golden inputs
//   node check.mjs ../../../exported/sentiment "What a film!"  # a text
//   node check.mjs --dtype q4 ../../../exported/sentiment      # another of the bundle's graphs

import process from "node:process";
import { parseArgs } from "node:util";
import { loadTask } from "./index.js";

const { values, positionals } = parseArgs({ options: { dtype: { type: "string" } }, allowPositionals: true });
const [where, text] = positionals;
const task = await loadTask(where, values);
if (text !== undefined) {
  const { promptIds, ...answer } = await task(text);
  console.log(JSON.stringify(answer));
} else {
  const checks = await task.check();
  for (const { same, detail, text: input } of checks) console.log(`${same ? "same" : "DIFFERS"}  ${input.slice(0, 50)}: ${detail}`);
  process.exitCode = checks.every((check) => check.same) ? 0 : 1;
}
