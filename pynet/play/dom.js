// Elements, numbers as text, and the colours of the page, for all other modules.

export const byId = (id) => document.getElementById(id);

/** A new element. Names with a hyphen are set as attributes, others as properties. */
export function make(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

/** A new element of an SVG; all properties are attributes. */
export function draw(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function filled(node, properties, children) {
  for (const [key, value] of Object.entries(properties))
    if (key.includes("-")) node.setAttribute(key, value);
    else node[key] = value;
  node.append(...children);
  return node;
}

/** Shows a message where it belongs; kind: "", "error" or "good". Screen readers read it out. */
export function report(id, text, kind = "") {
  const node = byId(id);
  node.textContent = text;
  node.className = `message ${kind}`;
}

/** Runs an action; its error becomes the message at this id. */
export async function attempt(id, action) {
  try {
    return await action();
  } catch (error) {
    report(id, error.message, "error");
    return undefined;
  }
}

export const whole = (value) => Number(value).toLocaleString("en");
export const percent = (value) => (value > 0.9999 && value < 1 ? "> 99.99 %" : `${(100 * value).toFixed(value > 0.9995 && value < 1 ? 2 : 1)} %`);
export const shapeText = (shape) => shape.join(" × ");

/** A number in few characters: 0.0123, -4.56, 1.2e-7. */
export function short(value, digits = 3) {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 1e-4 || size >= 1e6 ? value.toExponential(2) : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

export const signed = (value, digits = 4) =>
  `${value < 0 ? "−" : "+"}${Math.abs(value) < 5e-5 && value ? Math.abs(value).toExponential(1) : Math.abs(value).toFixed(digits)}`;

export const bytesText = (bytes) =>
  bytes < 1e6 ? `${whole(Math.round(bytes / 1e3))} kB` : `${whole(Math.round(bytes / 1e5) / 10)} MB`;

export const largest = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

/** A table of rows of text; the first column is a heading of its row. */
export function table(head, rows) {
  const cell = (name) => (text, i) => make(i ? name : "th", {}, text);
  return make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell("td"))))),
  );
}

/** Offers bytes as a file. */
export function download(bytes, name) {
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

// ---- colours ----

let cached = {};
const dark = matchMedia("(prefers-color-scheme: dark)");

/** The red, green and blue of a colour of style.css, such as "plus". */
export function colour(name) {
  cached[name] ??= getComputedStyle(document.documentElement)
    .getPropertyValue(`--${name}`)
    .match(/[\da-f]{2}/gi)
    .map((part) => parseInt(part, 16));
  return cached[name];
}

/** Calls the function when the page changes between dark and light. */
export function onTheme(action) {
  dark.addEventListener("change", () => {
    cached = {};
    action();
  });
}

/** Between two colours: 0 is the first, 1 the second. */
export const mixed = (one, other, share) => one.map((part, i) => part + share * (other[i] - part));

const CLASSES = ["class-0", "class-1", "class-2", "class-3", "class-4", "class-5"];
export const classColour = (i) => colour(CLASSES[i % CLASSES.length]);
export const css = (parts) => `rgb(${parts.map(Math.round).join(" ")})`;
