// A form for the options of a task, from their JSON schema.

import { element } from "./dom.js";

// Settings of sampling matter to few people.
const ADVANCED = new Set(["top_k", "top_p", "min_p", "repetition_penalty", "seed", "beams", "temperature", "max_tokens"]);

export class OptionForm {
  constructor(schema, start = {}, legend = "Options") {
    this.fields = new Map();
    const simple = [];
    const advanced = [];
    for (const [name, property] of Object.entries(schema.properties)) {
      const row = this.row(name, property, start[name]);
      (ADVANCED.has(name) ? advanced : simple).push(row);
    }
    const hidden = advanced.length && simple.length
      ? [element("details", {}, element("summary", {}, "Sampling"), ...advanced)]
      : advanced;
    this.element = element(
      "details",
      { class: "panel options" },
      element("summary", {}, legend),
      ...simple,
      ...hidden,
    );
  }

  row(name, property, start) {
    const id = `option-${name}-${Math.random().toString(36).slice(2)}`;
    const types = [property.type].flat();
    const value = start ?? property.default;
    let field;
    if (property.enum) {
      const names = property.enum.map((choice) => element("option", { value: choice ?? "" }, choice ?? "automatic"));
      field = element("select", { id }, ...names);
      field.value = value ?? "";
    } else if (types.includes("boolean")) {
      field = element("select", { id }, element("option", { value: "true" }, "yes"), element("option", { value: "false" }, "no"));
      if (types.includes("null")) field.prepend(element("option", { value: "" }, "automatic"));
      field.value = value == null ? "" : String(value);
    } else if (property.format === "textarea") {
      field = element("textarea", { id, rows: "3" }, value ?? "");
    } else if (types.includes("integer") || types.includes("number")) {
      const step = types.includes("integer") ? "1" : "any";
      field = element("input", { id, type: "number", step, placeholder: value == null ? "automatic" : null });
      field.value = value ?? "";
    } else {
      field = element("input", { id, type: "text" });
      field.value = value ?? "";
    }
    this.fields.set(name, { field, types, standard: property.default });
    const label = name.replaceAll("_", " ");
    return element(
      "div",
      { class: "option" },
      element("label", { for: id }, label),
      field,
      element("small", {}, property.description ?? ""),
    );
  }

  // Other defaults, for the same options: shown where nothing else was chosen.
  setDefaults(schema) {
    const chosen = this.values();
    for (const [name, entry] of this.fields) {
      entry.standard = schema.properties[name].default;
      if (!(name in chosen)) entry.field.value = entry.standard ?? "";
    }
  }

  // Only what differs from the defaults: the rest is the task's own business.
  values() {
    const found = {};
    for (const [name, { field, types, standard }] of this.fields) {
      const text = field.value;
      if (text === "" && (types.includes("null") || !types.includes("string"))) continue;
      const value = types.includes("boolean") ? text === "true"
        : types.includes("integer") || types.includes("number") ? Number(text)
        : text;
      if (value !== standard) found[name] = value;
    }
    return found;
  }
}
