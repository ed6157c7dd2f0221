// Elements without a framework: element("p", { class: "quiet" }, "text", child).

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && typeof value !== "string") made[key] = value;
    else if (value !== false && value != null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child != null && child !== false));
  return made;
}

export const find = (id) => document.getElementById(id);

export const percent = (value) =>
  value > 0 && value < 0.001 ? "< 0.1 %" : value < 1 && value > 0.999 ? "> 99.9 %" : `${(100 * value).toFixed(1)} %`;
