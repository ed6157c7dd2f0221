// One result: its text as it comes, probabilities, notices, numbers.

import { element, percent } from "./dom.js";

export class ResultPanel {
  constructor(title) {
    this.answer = element("p", { class: "answer" });
    this.rest = element("div");
    this.element = element(
      "article",
      { class: "panel", "aria-live": "polite" },
      title && element("h3", {}, title),
      this.answer,
      this.rest,
    );
  }

  add(piece) {
    this.answer.append(piece);
  }

  notice(text) {
    this.rest.append(element("p", { class: "notice quiet" }, text));
  }

  error(message) {
    this.rest.append(element("p", { class: "error" }, message));
  }

  finish(result, seconds) {
    if (result.status === "error") {
      this.error([result.error.message, result.error.hint].filter(Boolean).join(" "));
      return;
    }
    const { output, usage } = result;
    this.answer.textContent = output.text;
    if (!output.text) this.answer.append(element("span", { class: "quiet" }, "The answer is empty."));
    if (output.probabilities) this.rest.prepend(bars(output.probabilities));
    const read = `${usage.prompt_tokens} tokens read`;
    const written = usage.completion_tokens ? `, ${usage.completion_tokens} written` : "";
    const copy = element("button", {
      type: "button",
      class: "plain",
      onclick: () => navigator.clipboard.writeText(output.text).then(() => { copy.textContent = "Copied"; }),
    }, "Copy");
    this.rest.append(element("p", { class: "quiet row" }, `${read}${written}, ${seconds.toFixed(1)} s`, copy));
  }
}

export function bars(probabilities) {
  const rows = Object.entries(probabilities)
    .sort(([, a], [, b]) => b - a)
    .map(([label, value]) => element(
      "div",
      { class: "bar" },
      element("span", {}, label),
      element("meter", { min: 0, max: 1, value, "aria-label": `Probability of ${label}` }),
      element("span", {}, percent(value)),
    ));
  return element("div", {}, ...rows);
}
