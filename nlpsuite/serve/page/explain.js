// How the model decides: tokens and their alternatives, sentences and what they contribute, and where a summary is from.

import { element, percent } from "./dom.js";

export function explanation(found, text) {
  const parts = [];
  if (found.sentences) parts.push(...contributions(found.sentences));
  if (found.tokens) parts.push(...tokens(found.tokens));
  if (found.sources?.length) parts.push(...sources(found.sources, text));
  if (!parts.length) parts.push(element("p", { class: "quiet" }, "There is nothing to show for this result."));
  return element("section", { class: "panel" }, element("h3", {}, "How the model decides"), ...parts);
}

function contributions(sentences) {
  if (!sentences.length) {
    return [element("p", { class: "quiet" }, "With a single sentence there is nothing to leave out.")];
  }
  const rows = sentences.map(({ text, contribution }) => {
    const value = `${contribution >= 0 ? "+" : "−"}${Math.abs(contribution).toFixed(2)}`;
    return element(
      "div",
      { class: "sentence" },
      element("span", { class: contribution >= 0 ? "for" : "against" }, value),
      element("span", {}, text),
    );
  });
  const help = "Change of the label's log-odds by each sentence, measured by leaving it out. "
    + "Plus speaks for the label, minus against it.";
  return [element("p", { class: "quiet" }, help), ...rows];
}

function tokens(list) {
  const detail = element("div", { "aria-live": "polite" });
  const show = ({ text, probability, alternatives }) => {
    const rows = alternatives.map((other) => element(
      "tr",
      {},
      element("td", {}, other.text === text ? element("strong", {}, visible(other.text)) : visible(other.text)),
      element("td", {}, percent(other.probability)),
    ));
    const head = element("thead", {}, element("tr", {}, element("th", {}, "token"), element("th", {}, "probability")));
    detail.replaceChildren(
      element("p", { class: "quiet" }, `“${visible(text)}” had a probability of ${percent(probability)}. The likeliest:`),
      element("table", {}, head, element("tbody", {}, ...rows)),
    );
  };
  const marks = list.map((token) => {
    const mark = element("button", {
      type: "button",
      title: percent(token.probability),
      onclick: () => show(token),
      onfocus: () => show(token),
      onmouseenter: () => show(token),
    }, token.text.replaceAll("\n", "⏎"));
    mark.style.setProperty("--doubt", (0.55 * (1 - token.probability)).toFixed(3));
    return token.text.includes("\n") ? [mark, "\n"] : [mark]; // a button has no line breaks
  }).flat();
  const help = "The darker a token, the less certain the model was. Point at one or move to it to see what else it "
    + "might have written.";
  return [element("p", { class: "quiet" }, help), element("div", { class: "tokens" }, ...marks), detail];
}

const visible = (text) => text.replaceAll("\n", "⏎").replace(/^ /, "␣");

function sources(found, text) {
  const view = element("div", { class: "source panel", tabindex: "0", role: "region", "aria-label": "Source text" }, text);
  const show = ({ start, end }) => {
    const mark = element("mark", {}, text.slice(start, end));
    view.replaceChildren(text.slice(0, start), mark, text.slice(end));
    mark.scrollIntoView({ block: "nearest" });
  };
  const rows = found.map((sentence) => {
    const known = sentence.start !== undefined;
    const note = sentence.exact ? "word for word" : known ? `${percent(sentence.overlap)} of its words` : "no source";
    const button = element("button", { type: "button", class: "plain", disabled: !known, onclick: () => show(sentence) }, note);
    return element("div", { class: "sentence" }, button, element("span", {}, sentence.text));
  });
  if (found[0].start !== undefined) show(found[0]);
  const help = "For each sentence of the answer the sentence of the text that has most of its words.";
  return [element("p", { class: "quiet" }, help), element("div", { class: "sources" }, ...rows), view];
}
