// A task wholly in the page: load, run, check.

import { env } from "@huggingface/transformers";
import { DTYPES, loadTask } from "/nlpsuite-js/index.js";

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = "";
env.backends.onnx.wasm.wasmPaths = "/modules/onnxruntime-web/dist/";

const find = (id) => document.getElementById(id);
const names = await (await fetch("/tasks.json")).json();
find("task").replaceChildren(...names.map((name) => new Option(name, name)));
find("webgpu").disabled = !navigator.gpu;
find("task").addEventListener("change", showGraphs);
await showGraphs();

let task = null;

find("load").addEventListener("click", async () => {
  const sizes = new Map();
  const started = performance.now();
  find("load").disabled = true;
  find("status").textContent = "Loading …";
  env.backends.onnx.wasm.proxy = !find("webgpu").checked; // in a worker, so that the page stays responsive
  try {
    task = await loadTask(`/tasks/${find("task").value}`, {
      dtype: find("dtype").value,
      device: find("webgpu").checked ? "webgpu" : "wasm",
      progress: ({ status, file, loaded, total }) => {
        if (status !== "progress" || !total) return;
        sizes.set(file, [loaded, total]);
        const sum = (at) => [...sizes.values()].reduce((whole, pair) => whole + pair[at], 0);
        find("progress").value = sum(0) / sum(1);
      },
    });
    find("progress").value = 1;
    const bytes = [...sizes.values()].reduce((sum, [, total]) => sum + total, 0);
    find("status").textContent = `Loaded ${(bytes / 1e6).toFixed(0)} MB in ${seconds(started)}.`;
    find("run").disabled = find("check").disabled = false;
  } catch (error) {
    find("status").textContent = `It can't be loaded: ${error.message}`;
  }
  find("load").disabled = false;
});

find("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const started = performance.now();
  let first = "";
  find("answer").textContent = "";
  const answer = await task(find("text").value, {
    onText: (piece) => {
      first ||= seconds(started);
      find("answer").append(piece);
    },
  });
  const labels = Object.entries(answer.probabilities ?? {}).map(([label, p]) => `${label} ${(100 * p).toFixed(1)} %`);
  find("answer").textContent = labels.length ? labels.join("\n") : answer.text;
  find("status").textContent = `${first && `First token after ${first}, all `}${first ? "" : "Answered "}in ${seconds(started)}.`;
});

find("check").addEventListener("click", async () => {
  const checks = await task.check();
  find("answer").textContent = checks.map(({ same, text, detail }) => `${same ? "same" : "DIFFERS"}  ${text.slice(0, 40)}: ${detail}`).join("\n");
  find("status").textContent = `${checks.filter((check) => check.same).length} of ${checks.length} the same.`;
});

// The bundle's graphs, as transformers.js calls them.
async function showGraphs() {
  const { model, variants = [] } = await (await fetch(`/tasks/${find("task").value}/task.json`)).json();
  const precisions = [model, ...variants.map((variant) => variant.model)].map(({ precision }) => precision);
  find("dtype").replaceChildren(...precisions.map((precision) => new Option(precision, DTYPES[precision])));
}

function seconds(started) {
  return `${((performance.now() - started) / 1000).toFixed(1)} s`;
}
