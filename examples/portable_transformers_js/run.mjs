// Run a portable bundle in transformers.js, without nlpsuite. Prints a JSON object a question.
//
//   nlpsuite export default --layout portable --precision fp32 -o my-bundle
//   cd examples/portable_transformers_js && npm install
//   node run.mjs ../../my-bundle "Why is the sky blue?" "Name three colours."

import path from "node:path";
import process from "node:process";
import { AutoModelForCausalLM, AutoTokenizer, env } from "@huggingface/transformers";

const MAX_TOKENS = 40;
const [bundle, ...questions] = process.argv.slice(2);
env.allowRemoteModels = false;
env.localModelPath = "/";

const directory = path.resolve(bundle);
const tokenizer = await AutoTokenizer.from_pretrained(directory);
const model = await AutoModelForCausalLM.from_pretrained(directory, { device: "cpu" });
const prompts = questions.map((content) =>
  tokenizer.apply_chat_template([{ role: "user", content }], { tokenize: false, add_generation_prompt: true }),
);
const inputs = tokenizer(prompts, { padding: true, add_special_tokens: false }); // pads on the left
const output = await model.generate({ ...inputs, max_new_tokens: MAX_TOKENS, do_sample: false });

const ends = [model.generation_config.eos_token_id].flat();
for (const row of output.tolist()) {
  const ids = row.slice(inputs.input_ids.dims[1]).map(Number);
  const end = ids.findIndex((id) => ends.includes(id)); // rows that are through go on until all are
  const answer = end < 0 ? ids : ids.slice(0, end);
  console.log(JSON.stringify({ text: answer.length ? tokenizer.decode(answer) : "", ids: answer }));
}
