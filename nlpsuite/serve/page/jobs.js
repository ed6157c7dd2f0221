// A file scored or evaluated in the background.

import { get, request } from "./api.js";
import { element, find } from "./dom.js";

const LARGEST_PREVIEW = 65536;

export class Jobs {
  constructor(current) {
    this.current = current; // gives the task's name and options
    this.file = null;
    find("job-file").addEventListener("change", ({ target }) => this.choose(target.files[0]));
    find("job-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    const area = find("files");
    area.addEventListener("dragover", (event) => {
      event.preventDefault();
      area.classList.add("dropping");
    });
    area.addEventListener("dragleave", () => area.classList.remove("dropping"));
    area.addEventListener("drop", (event) => {
      event.preventDefault();
      area.classList.remove("dropping");
      this.choose(event.dataTransfer.files[0]);
    });
    this.refresh();
  }

  async choose(file) {
    if (!file) return;
    this.file = file;
    find("job-name").textContent = file.name;
    find("job-start").disabled = false;
    const columns = columnsOf(file.name, await file.slice(0, LARGEST_PREVIEW).text());
    for (const [id, none] of [["text-column", "automatic"], ["reference-column", "none"]]) {
      const names = columns.map((name) => element("option", { value: name }, name));
      find(id).replaceChildren(element("option", { value: "" }, none), ...names);
    }
  }

  async start() {
    const { task, options } = this.current();
    const form = new FormData();
    form.set("file", this.file);
    form.set("task", task);
    form.set("options", JSON.stringify(options));
    form.set("text_column", find("text-column").value);
    form.set("reference_column", find("reference-column").value);
    try {
      await request("/v1/jobs", { method: "POST", body: form });
    } catch (error) {
      find("report").replaceChildren(element("p", { class: "error", role: "alert" }, error.message));
      return;
    }
    find("report").replaceChildren();
    await this.refresh();
  }

  async refresh() {
    clearTimeout(this.timer);
    const { data } = await get("/v1/jobs").catch(() => ({ data: [] }));
    find("jobs").replaceChildren(...data.toReversed().map((job) => this.row(job)));
    if (data.some((job) => job.state === "running")) this.timer = setTimeout(() => this.refresh(), 1000);
  }

  row(job) {
    const rows = job.rows == null ? "" : `, ${job.rows} rows`;
    const action = (text, run) => element("button", { type: "button", onclick: run }, text);
    const remove = async () => {
      await request(`/v1/jobs/${job.id}`, { method: "DELETE" });
      await this.refresh();
    };
    return element(
      "li",
      {},
      element("span", {}, `${job.name}: ${job.task}${rows}`),
      job.state === "running"
        ? element("progress", { max: 1, value: job.fraction, "aria-label": `Progress of ${job.name}` })
        : element("span", { class: "quiet" }, job.state),
      job.error && element("span", { class: "error" }, `${job.error.message} ${job.error.hint ?? ""}`),
      job.result && action("Download", () => this.download(job)),
      job.report && action("Report", () => this.report(job)),
      action(job.state === "running" ? "Cancel" : "Remove", remove),
    );
  }

  // Fetched and not linked to: a link can't carry the token.
  async download(job) {
    const response = await request(`/v1/jobs/${job.id}/result`);
    const name = /filename="?([^"]+)/.exec(response.headers.get("content-disposition"))?.[1] ?? "result";
    const link = element("a", { href: URL.createObjectURL(await response.blob()), download: name });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  async report(job) {
    const page = await (await request(`/v1/jobs/${job.id}/report`)).text();
    const frame = element("iframe", { sandbox: "", title: `Report of ${job.name}`, srcdoc: page });
    find("report").replaceChildren(frame);
    frame.scrollIntoView({ block: "nearest" });
  }
}

function columnsOf(name, start) {
  const [first] = start.split(/\r?\n/);
  if (name.endsWith(".txt")) return [];
  if (name.endsWith(".jsonl")) {
    try {
      return Object.keys(JSON.parse(first));
    } catch {
      return [];
    }
  }
  const separator = name.endsWith(".tsv") ? "\t" : [",", ";", "\t"].find((mark) => first.includes(mark)) ?? ",";
  return first.split(separator).map((column) => column.trim().replace(/^"(.*)"$/, "$1")).filter(Boolean);
}
