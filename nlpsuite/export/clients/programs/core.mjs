// The bundle with transformers.js, in Node or in a browser: its own tokenizer and generate, padded on the left.

export async function answer({ AutoModelForCausalLM, AutoTokenizer, env }, location, job, settings) {
  env.allowRemoteModels = false;
  const tokenizer = await AutoTokenizer.from_pretrained(location);
  const model = await AutoModelForCausalLM.from_pretrained(location, { dtype: job.dtype, ...settings });
  tokenizer.padding_side = "left";
  const encode = (texts) => tokenizer(texts, { padding: true, add_special_tokens: false });
  const ids = job.texts.map((text) => tokenizer.encode(text, { add_special_tokens: false }).map(Number));
  const runs = {};
  const logits = {};
  const continuations = {};
  for (const mode of job.modes) {
    if (mode === "right") continue;
    const batches = mode === "single" ? job.texts.map((_, i) => [i]) : [job.texts.map((_, i) => i)];
    runs[mode] = [];
    logits[mode] = [];
    continuations[mode] = [];
    for (const batch of batches) {
      const inputs = encode(batch.map((i) => job.texts[i]));
      const first = (await model(inputs)).logits; // (B, S, V); the last position is each row's own
      const [, length, vocabulary] = first.dims;
      const output = await model.generate({ ...inputs, max_new_tokens: job.tokens, do_sample: false, eos_token_id: job.ends });
      const rows = output.tolist();
      batch.forEach((i, at) => {
        const drawn = rows[at].slice(inputs.input_ids.dims[1]).map(Number);
        const end = drawn.findIndex((id) => job.ends.includes(id));
        runs[mode][i] = end < 0 ? drawn : drawn.slice(0, end);
        continuations[mode][i] = runs[mode][i].length ? tokenizer.decode(runs[mode][i], { skip_special_tokens: true }) : "";
        const start = (at * length + length - 1) * vocabulary;
        logits[mode][i] = job.watch[i].map((id) => first.data[start + id]);
      });
    }
  }
  return { version: env.version, ids, runs, logits, continuations };
}
