// Section 3: the outputs of every layer for the picture, and how a selected one of them came about.

import { byId, make, shapeText, short, whole } from "./dom.js";
import { Grid } from "./grid.js";
import { on, sample, session, whenSeen } from "./session.js";

const ELEMENTWISE = new Set(["relu", "leaky_relu", "sigmoid", "tanh", "gelu", "softmax", "dropout", "flatten", "batchnorm", "layernorm", "standardize"]);

let rows = []; // {grid, detail} of each layer

export function startLayers() {
  const refresh = whenSeen("layers", update);
  on("network", () => {
    build();
    refresh();
  });
  on("drawn", refresh);
}

function build() {
  byId("network-text").textContent = session.net.text;
  rows = session.net.layers.map((layer, i) => {
    const canvas = make("canvas", { "aria-label": `outputs of layer ${layer.path}, ${layer.text}; arrow keys select one` });
    const detail = make("div", { className: "detail", hidden: true, "aria-live": "polite" });
    const size = `${shapeText(layer.outShape)}${layer.parameters ? ` · ${whole(layer.parameters)} parameters` : ""}`;
    const head = make("h3", {}, make("span", {}, layer.path), ` ${layer.text} `, make("small", {}, size));
    const node = make("article", { className: layer.path.includes(".") ? "inner" : "" }, head, make("div", {}, canvas), detail);
    const grid = new Grid(canvas, { cell: [1.5, 13], height: 150, select: (index) => explain(i, index) });
    return { node, grid, detail };
  });
  byId("layer-list").replaceChildren(...rows.map((row) => row.node));
}

function update() {
  byId("layers-empty").hidden = Boolean(session.pixels);
  byId("layer-list").hidden = !session.pixels;
  if (!session.pixels) return;
  session.net.infer(sample());
  session.net.layers.forEach((layer, i) => {
    rows[i].grid.show(session.net.activation(i, 1), layer.outShape);
    if (rows[i].grid.index >= 0) explain(i, rows[i].grid.index);
  });
}

/** The numbers that go into a layer, see pynet.h on paths: "4.0" is the first layer inside of residual 4. */
function inputOf(i) {
  const { layers } = session.net;
  const parts = layers[i].path.split(".");
  const place = parts.pop();
  const index = (path) => layers.findIndex((layer) => layer.path === path);
  if (place !== "0" && place !== "skip") return session.net.activation(index([...parts, place - 1].join(".")), 1);
  if (parts.length) return inputOf(index(parts.join(".")));
  const { x } = sample();
  return x instanceof Uint8Array ? Float32Array.from(x, (value) => value / 255) : x;
}

/** The shape in which inputs of a dense layer are best seen: a picture, or feature maps before `flatten`. */
function seenShape(i) {
  const { net, model } = session;
  const { path, inShape } = net.layers[i];
  if (path === "0" && inShape.length === 1) return [model.height, model.width];
  const before = net.layers.find((layer) => layer.path === String(path - 1));
  return before?.kind === "flatten" ? before.inShape : inShape;
}

function explain(i, index) {
  const { net } = session;
  const layer = net.layers[i];
  const [x, y] = [inputOf(i), rows[i].grid.values];
  const detail = rows[i].detail;
  detail.hidden = false;
  const name = layer.outShape.length === 3 ? `channel ${channelOf(layer, index).join(", row ")}`.replace(/, row (\d+)$/, ", column $1") : `unit ${index}`;
  const lines = [make("p", {}, `${name}: ${short(y[index], 5)} `, make("em", {}, session.formulas[layer.kind] ?? ""))];
  detail.replaceChildren(...lines);
  if (layer.kind === "dense") explainDense(detail, i, index, x);
  else if (layer.kind === "conv") explainConv(detail, i, index, x);
  else if (ELEMENTWISE.has(layer.kind)) detail.append(make("p", {}, `from ${short(x[index], 5)}`));
}

const tensor = (path, name) => {
  const i = session.net.tensors.findIndex((one) => one.name === `${path}.${name}`);
  return i < 0 ? null : session.net.tensor(i);
};

const channelOf = ({ outShape: [, h, w] }, index) => [Math.floor(index / (h * w)), Math.floor(index / w) % h, index % w];

function explainDense(detail, i, unit, x) {
  const { path, outShape } = session.net.layers[i];
  const [W, bias] = [tensor(path, "W"), tensor(path, "b")?.[unit] ?? 0];
  const weights = x.map((_, k) => W[k * outShape[0] + unit]);
  addSum(detail, `${whole(x.length)} inputs`, x, weights, bias);
  addPicture(detail, "its weights", weights, seenShape(i));
  addPicture(detail, "inputs times weights", x.map((value, k) => value * weights[k]), seenShape(i));
}

function addSum(detail, what, x, weights, bias) {
  const sum = x.reduce((total, value, k) => total + value * weights[k], 0);
  detail.append(make("p", {}, `weighted sum of ${what}: ${short(sum, 5)}, plus bias ${short(bias, 5)} = ${short(sum + bias, 5)}`));
}

function addPicture(detail, title, values, shape) {
  const canvas = make("canvas", { "aria-label": title });
  detail.append(make("figure", {}, make("figcaption", {}, title), make("div", {}, canvas)));
  new Grid(canvas, { cell: [1.5, 8], height: 140 }).show(values, shape);
}

/** Arguments of a layer by name, from its text: conv(8,5,pad=2). */
function options(text, names) {
  const found = { stride: 1, pad: 0 };
  text.match(/\((.*)\)/)[1].split(",").forEach((word, i) => {
    const [name, value] = word.includes("=") ? word.split("=") : [names[i], word];
    found[name.trim()] = value === "same" ? value : Number(value);
  });
  return found;
}

/** W is (height, width, channels in, channels out). */
function explainConv(detail, i, index, x) {
  const layer = session.net.layers[i];
  const [channel, row, column] = channelOf(layer, index);
  const { stride, pad } = options(layer.text, ["channels", "kernel", "stride", "pad"]);
  const [W, bias] = [tensor(layer.path, "W"), tensor(layer.path, "b")?.[channel] ?? 0];
  const [planes, h, w] = layer.inShape;
  const [kh, kw] = session.net.tensors.find((one) => one.name === `${layer.path}.W`).shape;
  const before = (size, steps, kernel) => (pad === "same" ? Math.max((steps - 1) * stride + kernel - size, 0) >> 1 : pad);
  const [top, left] = [before(h, layer.outShape[1], kh), before(w, layer.outShape[2], kw)];
  const [filter, patch] = [new Float32Array(planes * kh * kw), new Float32Array(planes * kh * kw)];
  for (let c = 0; c < planes; c++)
    for (let a = 0; a < kh; a++)
      for (let b = 0; b < kw; b++) {
        const at = (c * kh + a) * kw + b;
        const [y, z] = [row * stride + a - top, column * stride + b - left];
        filter[at] = W[((a * kw + b) * planes + c) * layer.outShape[0] + channel];
        if (y >= 0 && z >= 0 && y < h && z < w) patch[at] = x[(c * h + y) * w + z];
      }
  addSum(detail, `the patch of ${shapeText([planes, kh, kw])} numbers`, patch, filter, bias);
  addPicture(detail, "its filter", filter, [planes, kh, kw]);
  addPicture(detail, "its input patch", patch, [planes, kh, kw]);
}
