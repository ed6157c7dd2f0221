// The bundle with transformers.js, in Node or in a browser: its own tokenizer and generate. Generating wants padding on the
// left; on the right only the prompts are read.

export async function answer({ AutoModelForCausalLM, AutoTokenizer, env }, location, job, settings) {
  env.allowRemoteModels = false;
  const started = performance.now();
  const tokenizer = await AutoTokenizer.from_pretrained(location);
  const model = await AutoModelForCausalLM.from_pretrained(location, { dtype: job.dtype, ...settings });
  const seconds = { load: (performance.now() - started) / 1000 };
  const encode = (texts) => tokenizer(texts, { padding: true, add_special_tokens: false });
  const ids = job.texts.map((text) => tokenizer.encode(text, { add_special_tokens: false }).map(Number));
  const again = performance.now();
  await model.generate({ ...encode([job.texts[0]]), max_new_tokens: 1, do_sample: false });
  seconds.first_token = (performance.now() - again) / 1000;
  const found = { version: env.version, ids, seconds, runs: {}, logits: {}, continuations: {} };
  for (const mode of job.modes) {
    tokenizer.padding_side = mode === "right" ? "right" : "left";
    found.logits[mode] = [];
    if (mode !== "right") found.runs[mode] = [];
    const batches = mode === "single" ? job.texts.map((_, i) => [i]) : [job.texts.map((_, i) => i)];
    for (const batch of batches) {
      const inputs = encode(batch.map((i) => job.texts[i]));
      const { logits } = await model(inputs); // (B, S, V)
      const [, length, vocabulary] = logits.dims;
      batch.forEach((i, at) => {
        const last = mode === "right" ? ids[i].length : length;
        const start = (at * length + last - 1) * vocabulary;
        found.logits[mode][i] = job.watch[i].map((id) => logits.data[start + id]);
      });
      if (mode === "right") continue;
      const output = await model.generate({ ...inputs, max_new_tokens: job.tokens, do_sample: false, eos_token_id: job.ends });
      output.tolist().forEach((row, at) => {
        const drawn = row.slice(length).map(Number);
        const end = drawn.findIndex((id) => job.ends.includes(id));
        found.runs[mode][batch[at]] = end < 0 ? drawn : drawn.slice(0, end);
      });
    }
    if (mode === "right") continue;
    const decode = (row) => (row.length ? tokenizer.decode(row, { skip_special_tokens: true }) : "");
    found.continuations[mode] = found.runs[mode].map(decode);
  }
  return found;
}
