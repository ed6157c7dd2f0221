// Tasks that `nlpsuite export --task` wrote, run by transformers.js as their task.json says. docs/task-file.md in nlpsuite
// describes that file; nothing of a task is in here.

import { AutoModelForCausalLM, AutoTokenizer, DynamicCache, Tensor, env } from "@huggingface/transformers";

const FORMAT = "nlpsuite.task/1";
// What transformers.js calls the precisions of task.json.
export const DTYPES = { fp32: "fp32", fp16: "fp16", int8: "q8", int4: "q4" };
const SENTENCE_END = /[.!?。！？…]["')\]}»”’」』）】]*$/;
const NODE = typeof process !== "undefined" && Boolean(process.versions?.node);

export async function loadTask(where, { dtype, device, progress } = {}) {
  let spec = await readSpec(where);
  if (spec.format !== FORMAT) throw new Error(`${where}: task.json is ${spec.format}, this module reads ${FORMAT}.`);
  if (NODE) {
    const { resolve } = await import("node:path");
    where = resolve(where);
    env.allowRemoteModels = false;
    env.localModelPath = "/";
  }
  dtype ??= DTYPES[spec.model.precision];
  spec = withGraph(spec, dtype);
  const tokenizer = await AutoTokenizer.from_pretrained(where, { progress_callback: progress });
  const model = await AutoModelForCausalLM.from_pretrained(where, {
    dtype,
    device: device ?? (NODE ? "cpu" : "wasm"),
    progress_callback: progress,
  });
  const runner = new Runner(spec, tokenizer, model);
  return Object.assign((text, options) => runner.run(text, options), { spec, check: () => runner.check() });
}

// The file with what is different for another graph of the bundle: calibration, tolerance and golden answers.
function withGraph(spec, dtype) {
  const variant = spec.variants?.find(({ model }) => DTYPES[model.precision] === dtype);
  if (!variant) return spec;
  const merged = Object.entries(variant).map(([key, value]) => [key, Array.isArray(value) ? value : { ...spec[key], ...value }]);
  return { ...spec, ...Object.fromEntries(merged) };
}

async function readSpec(where) {
  if (NODE && !/^https?:/.test(where)) {
    const { readFile } = await import("node:fs/promises");
    return JSON.parse(await readFile(`${where}/task.json`, "utf-8"));
  }
  const response = await fetch(`${where}/task.json`);
  if (!response.ok) throw new Error(`${where}/task.json can't be read: status ${response.status}.`);
  return response.json();
}

class Runner {
  constructor(spec, tokenizer, model) {
    const borders = tokenizer.all_special_tokens.map((token) => {
      const at = token.search(/(?<=[^a-z])(?=[a-z])/i);
      return at > 0 ? `(?<=${escape(token.slice(0, at))})(?=${escape(token.slice(at))})` : `(?!)`;
    });
    const controls = new RegExp(borders.join("|") || "$^");
    Object.assign(this, { spec, tokenizer, model, controls });
  }

  async run(text, options = {}) {
    const { kind, input } = this.spec;
    const cleaned = clean(text, input.clean);
    const [ids, tail] = this.prompt(cleaned);
    return kind === "choose" ? this.choose(ids, tail) : this.generate(ids, tail, cleaned, options);
  }

  // Text may contain the characters of a control token, which transformers.js would take for it. So it is encoded in two
  // pieces there, cut where a letter meets another character: no token of text spans such a border.
  encode(text) {
    const pieces = text.split(this.controls).filter(Boolean);
    return pieces.flatMap((piece) => this.tokenizer.encode(piece, { add_special_tokens: false }));
  }

  // Ids up to the last control token, and the text after it, which a token may span.
  prompt(text) {
    const { parts, placeholder } = this.spec.prompt;
    const ids = [];
    let tail = "";
    for (const part of parts) {
      if (part.id === undefined) {
        tail += part.text.split(placeholder).join(text);
      } else {
        ids.push(...this.encode(tail), part.id);
        tail = "";
      }
    }
    return [ids, tail];
  }

  whole(ids, tail) {
    const all = [...ids, ...this.encode(tail)];
    return all.length ? all : [this.spec.prompt.if_empty];
  }

  // Logits after each of the new ids; `past` is what an earlier call returned.
  async forward(ids, past = { length: 0, cache: null }) {
    const length = past.length + ids.length;
    const whole = (values) => new Tensor("int64", BigInt64Array.from(values, BigInt), [1, values.length]);
    const inputs = {
      input_ids: whole(ids),
      attention_mask: whole(Array(length).fill(1)),
      position_ids: whole(ids.map((_, i) => past.length + i)),
    };
    const output = await this.model.forward({ ...inputs, past_key_values: past.cache });
    const vocabulary = output.logits.dims[2];
    const row = (i) => output.logits.data.slice(i * vocabulary, (i + 1) * vocabulary);
    const entries = Object.entries(output).filter(([name]) => name.startsWith("present"));
    const renamed = entries.map(([name, value]) => [name.replace("present", "past_key_values"), value]);
    return { row, length, cache: new DynamicCache(Object.fromEntries(renamed)) };
  }

  // Choices: each is read behind the prompt as one text with it, from the first token that differs.
  async choose(ids, tail) {
    const { choices, calibration, temperature, labels, rule } = this.spec.choose;
    const rows = choices.map((choice) => this.whole(ids, tail + choice));
    const shared = Math.min(commonPrefix([this.whole(ids, tail), ...rows]), ...rows.map((row) => row.length - 1));
    const context = rows[0].slice(0, shared);
    const logprobs = [];
    for (const row of rows) {
      const output = await this.forward(row);
      let sum = 0;
      for (let i = Math.max(shared, 1); i < row.length; i++) sum += logSoftmax(output.row(i - 1))[row[i]];
      logprobs.push(sum);
    }
    const adjusted = logprobs.map((value, i) => (value - (calibration?.[i] ?? 0)) / temperature);
    const { label, probabilities } = decide(adjusted, labels, rule);
    return { text: label, label, probabilities, logprobs, promptIds: context };
  }

  async generate(ids, tail, text, { onText = () => {}, signal } = {}) {
    const { max_new_tokens: limit, stop, end_token_ids: ends, sentence_end_after: after, sampling, clean: steps } = this.spec.generate;
    const prompt = this.whole(ids, tail);
    const most = Math.min(limit.most, limit.base + limit.per_character * [...text].length);
    const draw = sampler(sampling, prompt);
    const written = [];
    let output = await this.forward(prompt);
    let shown = "";
    let finishReason = "length";
    const decoded = () => (written.length ? this.tokenizer.decode(written, { skip_special_tokens: true, clean_up_tokenization_spaces: false }) : "");
    let soFar = "";
    while (written.length < most) {
      signal?.throwIfAborted();
      const next = draw(output.row(written.length ? 0 : prompt.length - 1));
      if (ends.includes(next)) {
        finishReason = "stop";
        break;
      }
      if (after !== null && written.length >= after && SENTENCE_END.test(soFar)
        && /^\s/.test(this.tokenizer.decode([next], { clean_up_tokenization_spaces: false }))) {
        finishReason = "sentence";
        break;
      }
      written.push(next);
      soFar = decoded();
      const at = Math.min(...stop.map((mark) => soFar.indexOf(mark)).filter((i) => i >= 0), Infinity);
      if (at < Infinity) {
        soFar = soFar.slice(0, at);
        finishReason = "stop";
        break;
      }
      // What may still become a stop string, or half a character, waits.
      const safe = soFar.endsWith("\ufffd") ? shown.length : soFar.length - longestTail(soFar, stop);
      if (safe > shown.length) {
        onText(soFar.slice(shown.length, safe));
        shown = soFar.slice(0, safe);
      }
      if (written.length < most) output = await this.forward([next], output);
    }
    if (soFar.length > shown.length) onText(soFar.slice(shown.length));
    return { text: clean(this.spec.generate.prefix + soFar, steps), ids: written, finishReason, promptIds: prompt };
  }

  // The golden inputs, each compared as far as the margins of the recorded answer allow.
  async check() {
    const { kind, golden, tolerance } = this.spec;
    const found = [];
    for (const entry of golden) {
      const answer = await this.run(entry.text);
      found.push({ text: entry.text, ...(kind === "choose" ? chosen(entry, answer, tolerance) : generated(entry, answer, tolerance)) });
    }
    return found;
  }
}

// The label, and the labels' probabilities. A label's score is the mean of its choices'.
function decide(adjusted, labels, rule) {
  const logistic = (x) => 1 / (1 + Math.exp(-x));
  const scored = labels.filter(({ choices }) => choices.length);
  const scores = scored.map(({ choices }) => choices.reduce((sum, i) => sum + adjusted[i], 0) / choices.length);
  const named = (values) => Object.fromEntries(scored.map(({ label }, i) => [label, values[i]]));
  let probabilities;
  if (rule.kind === "softmax") {
    const most = Math.max(...scores);
    const total = scores.reduce((sum, score) => sum + Math.exp(score - most), 0);
    probabilities = named(scores.map((score) => Math.exp(score - most) / total));
  } else if (rule.kind === "independent") {
    probabilities = named(scores.map((score) => logistic(score - rule.offset)));
    const found = labels.map(({ label }) => label).filter((label) => probabilities[label] >= rule.threshold);
    return { label: found.join("; "), probabilities };
  } else {
    const odds = scores[0] - scores[1];
    probabilities = named([logistic(odds - rule.margin), logistic(-odds - rule.margin)]);
    const left = Math.max(0, 1 - Object.values(probabilities).reduce((a, b) => a + b));
    for (const { label } of labels) probabilities[label] ??= left;
  }
  const label = labels.map((each) => each.label).reduce((a, b) => (probabilities[b] > probabilities[a] ? b : a));
  return { label, probabilities };
}

function chosen(entry, answer, tolerance) {
  const ids = equal(answer.promptIds, entry.prompt_ids);
  const off = Math.max(...entry.logprobs.map((value, i) => Math.abs(value - answer.logprobs[i])));
  const same = ids && answer.label === entry.label && off <= tolerance.logprob;
  return { same, detail: `${answer.label}, log-probabilities off by ${off.toFixed(4)}${ids ? "" : ", other prompt ids"}` };
}

function generated(entry, answer, tolerance) {
  if (entry.needs.length) return { same: true, detail: `skipped: needs ${entry.needs.join(", ")}` };
  if (!equal(answer.promptIds, entry.prompt_ids)) return { same: false, detail: "other prompt ids" };
  const at = entry.ids.findIndex((id, i) => id !== answer.ids[i]);
  if (at < 0) return { same: answer.text === entry.output, detail: `${entry.ids.length} tokens` };
  const margin = entry.margins[at];
  const near = margin <= tolerance.margin;
  return { same: near, detail: `another token at ${at}, where the margin was ${margin}${near ? " (a near tie)" : ""}` };
}

function sampler({ temperature, top_k, top_p, min_p, repetition_penalty, copy_bias }, source) {
  const seen = new Set();
  const followers = new Map();
  if (copy_bias > 0) {
    for (let i = 2; i < source.length; i++) {
      const key = `${source[i - 2]} ${source[i - 1]}`;
      followers.set(key, (followers.get(key) ?? new Set()).add(source[i]));
    }
  }
  let last = [];
  return (logits) => {
    if (repetition_penalty !== 1) {
      for (const id of seen) logits[id] = logits[id] > 0 ? logits[id] / repetition_penalty : logits[id] * repetition_penalty;
    }
    for (const id of followers.get(last.join(" ")) ?? []) logits[id] += copy_bias;
    const next = temperature === 0 ? argmax(logits) : sample(logits, temperature, top_k, top_p, min_p);
    seen.add(next);
    last = [...last.slice(-1), next];
    return next;
  };
}

function sample(logits, temperature, topK, topP, minP) {
  let rows = Array.from(logits, (logit, id) => ({ id, logit })).sort((a, b) => b.logit - a.logit);
  if (topK > 0) rows = rows.slice(0, topK);
  const weights = rows.map(({ logit }) => Math.exp((logit - rows[0].logit) / temperature));
  const total = weights.reduce((a, b) => a + b);
  let left = 0;
  let keep = 0;
  while (keep < rows.length && left < topP * total && weights[keep] >= minP * weights[0]) left += weights[keep++];
  keep = Math.max(keep, 1);
  let at = Math.random() * weights.slice(0, keep).reduce((a, b) => a + b);
  for (let i = 0; i < keep; i++) {
    at -= weights[i];
    if (at <= 0) return rows[i].id;
  }
  return rows[keep - 1].id;
}

function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function logSoftmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - most);
  return logits.map((value) => value - most - Math.log(sum));
}

function clean(text, steps) {
  const does = {
    strip: (value) => value.trim(),
    strip_start: (value) => value.trimStart(),
    strip_end: (value) => value.trimEnd(),
    collapse_whitespace: (value) => value.split(/\s+/).filter(Boolean).join(" "),
  };
  return steps.reduce((value, step) => does[step](value), text);
}

function commonPrefix(rows) {
  let length = 0;
  while (rows.every((row) => length < row.length && row[length] === rows[0][length])) length++;
  return length;
}

const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

const equal = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

// Length of the longest end of a text that begins one of the strings.
function longestTail(text, stops) {
  let longest = 0;
  for (const stop of stops) {
    for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
      if (stop.startsWith(text.slice(-n))) longest = n;
    }
  }
  return longest;
}
