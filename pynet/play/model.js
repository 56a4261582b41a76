// What a model file says about its pictures and classes, and why a model does not classify drawings.

import { byId } from "./dom.js";
import { emit, session } from "./session.js";

const SMALLEST = 4; // pixels on a side

/** The text of a note as JSON; null where it is missing or no JSON. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** The fields of a note; null where it is missing. Error: it is damaged. */
function note(net, key, isGood) {
  const text = net.meta(key);
  const found = parsed(text);
  if (text !== null && !(found && isGood(found))) throw new Error(`the model's note "${key}" is damaged: ${text.slice(0, 80)}`);
  return found;
}

const isSize = ({ height, width }) => [height, width].every(Number.isInteger);
const isScale = ({ bytes, lowest, highest, whole }) => [bytes, whole].every((one) => typeof one === "boolean") && [lowest, highest].every(Number.isFinite);

/** The kind of the last layer. */
export const closing = (net) => net.layers.findLast((layer) => !layer.path.includes(".")).kind;

/** {classes, height, width, style, background, scaled}. Error: the network does not classify drawings. */
function describe(net, styles) {
  if (net.meta("table") != null) throw new Error("this model was trained on a table; accepted here: a model of pictures");
  const last = closing(net);
  const names = parsed(net.meta("classes"));
  const task = net.meta("task") ?? (last === "softmax" || last === "sigmoid" || names ? "classes" : "regression");
  if (last === "rescale" || task !== "classes")
    throw new Error(`this model predicts ${task === "classes" ? "regression" : task} outputs; accepted here: a model that names classes`);
  const found = layout(net, note(net, "pictures", isSize), styles);
  if (found.color) throw new Error("this model takes pictures in colour, which cannot be drawn here; accepted: grey pictures");
  const size = net.outputs === 1 && net.lossName !== "cross_entropy" ? 2 : net.outputs;
  const classes = Array.isArray(names) && names.length === size ? names.map(String) : Array.from({ length: size }, (_, i) => String(i));
  const scaled = scale(note(net, "inputs", isScale));
  return { ...found, classes, scaled };
}

function layout(net, noted, styles) {
  const shape = net.inShape;
  const side = Math.sqrt(net.inputs);
  const color = shape.length === 3 && shape[0] === 3;
  let found = { height: shape.length === 3 ? shape[1] : side, width: shape.length === 3 ? shape[2] : side, color };
  found.style = color ? null : net.inputs === 64 ? "digits" : "mnist";
  if (noted) found = { color: false, ...noted };
  const { height, width, style } = found;
  const fits = (found.color ? 3 : 1) * height * width === net.inputs && Math.min(height, width) >= SMALLEST;
  if (!fits || !Number.isInteger(height) || !Number.isInteger(width))
    throw new Error(`this model takes ${net.inputs} numbers of shape (${shape}), which are no picture; accepted here: a model of pictures`);
  if (style && !styles[style]) throw new Error(`the layout of this model's pictures is "${style}"; accepted: ${Object.keys(styles).join(", ")}`);
  return { ...found, style: style ? styles[style] : null, styleName: style ?? null };
}

/** How bytes become what the network was trained on: see pynet/data/inputs.py. */
function scale(inputs) {
  if (!inputs) return (pixels) => pixels;
  const { bytes, lowest, highest, whole } = inputs;
  if (whole && lowest >= 0 && highest > (bytes ? 0 : 1) && highest <= 16)
    return (pixels) => Float32Array.from(pixels, (value) => (value * highest) / 255 / (bytes ? 255 : 1));
  if (bytes || (lowest >= 0 && highest <= 1)) return (pixels) => pixels;
  if (whole && lowest >= 0 && highest >= 128 && highest <= 255) return (pixels) => Float32Array.from(pixels);
  throw new Error(`this model was trained on numbers from ${lowest} to ${highest}, which are no pixels; accepted: 0..1, 0..16 or 0..255`);
}

/** The score of each class: the outputs; of a single output p: 1 - p and p. */
export const scores = (net, outputs) => (net.outputs === 1 && net.lossName !== "cross_entropy" ? [1 - outputs[0], outputs[0]] : outputs);

/** Shows another network. Error: it is damaged, or does not classify drawings; the previous one stays. */
export function openModel(bytes, name) {
  const net = session.core.load(bytes);
  try {
    session.model = describe(net, session.styles);
  } catch (error) {
    net.free();
    throw error;
  }
  session.net?.free();
  session.net = net;
  byId("model-name").textContent = name;
  emit("network");
}
