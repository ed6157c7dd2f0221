// The page: a task, its options, a text, and what comes out.

import { events, get, post, setToken } from "./api.js";
import { element, find } from "./dom.js";
import { explanation } from "./explain.js";
import { Jobs } from "./jobs.js";
import { OptionForm } from "./options.js";
import { ResultPanel } from "./result.js";

const CODE = new Set(["complete", "review"]);
const state = { tasks: [], task: null, forms: [], turns: [], running: null };

async function start() {
  applyTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  try {
    const [models, tasks] = await Promise.all([get("/v1/models"), get("/v1/tasks")]);
    find("model").textContent = models.data.map((model) => model.id).join(", ");
    state.tasks = tasks.data.filter((task) => !task.error);
  } catch (error) {
    if (error.status === 401) find("token-form").hidden = false;
    else fail(error);
    return;
  }
  find("token-form").hidden = true;
  find("tasks").replaceChildren(...state.tasks.map((task) => element(
    "li",
    {},
    element("button", { type: "button", "data-task": task.name, onclick: () => choose(task) }, task.name),
  )));
  choose(state.tasks.find((task) => task.name === location.hash.slice(1)) ?? state.tasks.find((task) => task.name === "summarize") ?? state.tasks[0]);
  state.jobs ??= new Jobs(() => ({ task: state.task.name, options: state.forms[0].values() }));
}

function choose(task) {
  stop();
  state.task = task;
  state.turns = [];
  location.hash = task.name;
  document.title = `${task.name} – nlpsuite`;
  for (const button of document.querySelectorAll("[data-task]")) {
    button.setAttribute("aria-current", String(button.dataset.task === task.name));
  }
  find("title").textContent = task.name[0].toUpperCase() + task.name.slice(1);
  find("description").textContent = task.description;
  find("work").classList.toggle("code", CODE.has(task.name));
  find("input-label").textContent = task.conversational ? "Message" : CODE.has(task.name) ? "Code" : "Text";
  find("input").rows = task.conversational ? 3 : 9;
  find("compare").checked = false;
  find("samples").replaceChildren(...task.samples.slice(0, 3).map((text, i) => element("button", {
    type: "button",
    class: "plain",
    onclick: () => { find("input").value = text; },
  }, `Example ${i + 1}`)));
  clear();
  makeForms();
}

function makeForms() {
  const two = find("compare").checked;
  const first = state.forms[0]?.task === state.task ? state.forms[0].values() : state.task.sample_options;
  state.forms = (two ? ["A", "B"] : [""]).map((name) => {
    const form = new OptionForm(state.task.options, first, name ? `Options of ${name}` : "Options");
    form.task = state.task;
    form.element.open = two;
    if (state.task.adapter) {
      form.plain = element("input", { type: "checkbox", onchange: () => showDefaults(form) });
      form.element.append(element("label", { class: "switch" }, form.plain, " Without the task's adapter"));
    }
    return form;
  });
  find("settings").replaceChildren(...state.forms.map((form) => form.element));
}

// An adapter brings the options that it was trained with.
async function showDefaults(form) {
  const task = await get(`/v1/tasks/${form.task.name}${form.plain.checked ? "?adapter=none" : ""}`);
  form.setDefaults(task.options);
}

function body(form, stream) {
  const text = find("input").value;
  const adapter = form.plain?.checked ? { adapter: "none" } : {};
  const turns = state.task.conversational ? state.turns : [];
  const input = turns.length ? { text, messages: turns } : text;
  return { input, options: form.values(), stream, ...adapter };
}

async function run() {
  stop();
  const text = find("input").value;
  if (!text.trim()) {
    find("status").textContent = "Type or paste a text first.";
    find("input").focus();
    return;
  }
  const dialogue = state.task.conversational && state.forms.length === 1;
  if (!dialogue) clear();
  const running = state.running = new AbortController();
  busy(true);
  const titles = state.forms.length > 1 ? ["A", "B"] : [dialogue ? `You: ${text}` : ""];
  const panels = titles.map((title) => new ResultPanel(title));
  find("results").append(...panels.map((panel) => panel.element));
  find("results").classList.toggle("dialogue", dialogue);
  const answers = await Promise.all(state.forms.map((form, i) => fill(panels[i], form, running.signal)));
  if (dialogue && answers[0] !== null) {
    state.turns.push({ role: "user", content: text }, { role: "assistant", content: answers[0] });
    find("input").value = "";
    find("input").focus();
  }
  if (state.running === running) busy(false);
}

async function fill(panel, form, signal) {
  const started = performance.now();
  try {
    for await (const [kind, data] of events(`/v1/tasks/${state.task.name}`, body(form, true), signal)) {
      if (kind === "piece") panel.add(data.text);
      else if (kind === "notice") panel.notice(data.text);
      else if (kind === "result") {
        panel.finish(data, (performance.now() - started) / 1000);
        return data.output?.text ?? null;
      }
    }
  } catch (error) {
    if (error.name === "AbortError") panel.notice("Stopped.");
    else panel.error(error.message);
  }
  return null;
}

async function explain() {
  stop();
  const text = find("input").value;
  if (!text.trim()) {
    find("status").textContent = "Type or paste a text first.";
    return;
  }
  clear();
  const running = state.running = new AbortController();
  busy(true);
  const started = performance.now();
  const panel = new ResultPanel("");
  find("results").append(panel.element);
  try {
    const { stream, ...asked } = body(state.forms[0], false);
    const found = await (await post(`/v1/tasks/${state.task.name}/explain`, asked, running.signal)).json();
    panel.finish(found.result, (performance.now() - started) / 1000);
    find("explanation").replaceChildren(explanation(found, text));
  } catch (error) {
    if (error.name === "AbortError") panel.notice("Stopped.");
    else panel.error(error.message);
  }
  if (state.running === running) busy(false);
}

function stop() {
  state.running?.abort();
  state.running = null;
  busy(false);
}

function busy(is) {
  find("run").disabled = find("explain").disabled = is;
  find("stop").hidden = !is;
  find("status").textContent = is ? "Working. The first time a task is used its model is prepared." : "";
}

function clear() {
  find("results").replaceChildren();
  find("explanation").replaceChildren();
  find("status").textContent = "";
}

function fail(error) {
  find("failure").hidden = false;
  find("failure").textContent = error.message;
}

function applyTheme(theme) {
  document.documentElement.dataset.theme = theme;
  find("theme").setAttribute("aria-pressed", String(theme === "dark"));
}

async function openText(file) {
  if (file) find("input").value = await file.text();
}

find("run-form").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
find("stop").addEventListener("click", stop);
find("explain").addEventListener("click", explain);
find("compare").addEventListener("change", makeForms);
find("text-file").addEventListener("change", ({ target }) => openText(target.files[0]));
find("theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", theme);
  applyTheme(theme);
});
find("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(find("token").value);
  start();
});
find("input").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey || state.task?.conversational && !event.shiftKey)) {
    event.preventDefault();
    run();
  }
});
find("input").addEventListener("dragover", (event) => {
  event.preventDefault();
  find("input").classList.add("dropping");
});
for (const kind of ["dragleave", "drop"]) find("input").addEventListener(kind, () => find("input").classList.remove("dropping"));
find("input").addEventListener("drop", (event) => {
  event.preventDefault();
  openText(event.dataTransfer.files[0]);
});

start();
