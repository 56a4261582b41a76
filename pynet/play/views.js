// What a training shows: curves, weights, the confusion matrix, the decision boundary or fitted line, worst mistakes.

import { byId, classColour, colour, css, largest, make, onTheme } from "./dom.js";
import { Grid } from "./grid.js";
import { curves } from "./plots.js";

const SIDE = 60; // points of the boundary on a side, as in worker.js
const MISTAKES = 12;
const MOST_CLASSES = 30; // of a confusion matrix

let weights, plane;
let last = null;

export function startViews() {
  weights = new Grid(byId("train-weights"), { cell: [1, 14], height: 230 });
  plane = byId("train-plane");
  onTheme(() => last && showViews(...last));
}

export function clearViews(data) {
  last = null;
  byId("train-views").hidden = true;
  byId("train-sum").textContent = "";
  byId("train-plane-part").hidden = !data.plane;
  byId("train-weights-part").hidden = Boolean(data.plane);
  byId("train-confusion-part").hidden = data.task === "line" || data.classes.length > MOST_CLASSES;
  byId("train-mistakes-part").hidden = !data.layout;
  byId("train-accuracy-part").hidden = data.task === "line";
}

export function showViews(data, latest, history) {
  last = [data, latest, history];
  byId("train-views").hidden = false;
  drawCurves(history);
  if (data.plane) drawPlane(data, latest.plane);
  else if (latest.weights) drawWeights(latest.weights, data);
  if (data.task === "line") return;
  const guesses = predicted(latest, data.test.n);
  if (data.classes.length <= MOST_CLASSES) confusion(data, guesses);
  if (data.layout) mistakes(data, latest, guesses);
}

function predicted({ outputs, width }, n) {
  return Array.from({ length: n }, (_, i) => (width === 1 ? Number(outputs[i] > 0.5) : largest(outputs.subarray(i * width, (i + 1) * width))));
}

function drawCurves(history) {
  const to = history.at(-1).epoch;
  const step = history.length > 1 ? history[1].epoch - history[0].epoch : 1;
  const series = (pick) => ["train", "test"].map((kind) => ({ kind, step, values: history.map((one) => pick(one[kind])) }));
  const losses = history.flatMap((one) => [one.train.loss, one.test.loss]).filter(Number.isFinite);
  const x = [history[0].epoch, to, "epoch"];
  curves(byId("train-loss"), series((one) => one.loss), { x, y: [0, Math.max(...losses.slice(0, 2), losses.at(-1), 1e-9)], label: "loss by epoch" });
  curves(byId("train-accuracy"), series((one) => 100 * one.accuracy), { x, y: [0, 100], label: "accuracy by epoch" });
}

/** The weights of the first layer, a picture a unit; a filter is the mean over its input channels. */
function drawWeights({ name, shape, values }, { shape: seen }) {
  byId("train-weights-name").textContent = name;
  const units = shape.at(-1);
  const size = shape.length === 4 ? shape[0] * shape[1] : shape[0];
  const channels = shape.length === 4 ? shape[2] : 1;
  const planes = new Float32Array(units * size);
  for (let i = 0; i < values.length; i++) {
    const place = Math.floor(i / units / channels);
    planes[(i % units) * size + place] += values[i] / channels;
  }
  const picture = shape.length === 4 ? shape.slice(0, 2) : seen.length === 2 && seen[0] * seen[1] === size ? seen : [1, size];
  weights.show(planes, [units, ...picture]);
}

function confusion({ classes, test }, guesses) {
  const counts = classes.map(() => classes.map(() => 0));
  guesses.forEach((guess, i) => counts[test.labels[i]][guess]++);
  const row = (line, i) => {
    const total = line.reduce((a, b) => a + b, 0) || 1;
    const cell = (count, j) => {
      const node = make("td", {}, count ? String(count) : "");
      node.style.background = css([...colour(i === j ? "accent" : "plus")]).replace(")", ` / ${Math.min(1, count && 0.12 + (0.45 * count) / total)})`);
      return node;
    };
    return make("tr", {}, make("th", { scope: "row" }, classes[i]), ...line.map(cell));
  };
  const head = make("tr", {}, make("td"), ...classes.map((name) => make("th", { scope: "col" }, name)));
  byId("train-confusion").replaceChildren(make("table", { className: "matrix" }, head, ...counts.map(row)));
}

/** The test pictures that are most surely wrong. */
function mistakes({ test, shape, classes }, { outputs, width }, guesses) {
  const sure = (i) => (width === 1 ? Math.abs(outputs[i] - 0.5) : outputs[i * width + guesses[i]]);
  const wrong = guesses.flatMap((guess, i) => (guess === test.labels[i] ? [] : [i])).sort((a, b) => sure(b) - sure(a));
  const size = shape[0] * shape[1];
  byId("train-wrong").textContent = `${wrong.length} of ${guesses.length}`;
  const tile = (i) => {
    const canvas = make("canvas", { width: shape[1], height: shape[0] });
    const context = canvas.getContext("2d");
    const image = context.createImageData(shape[1], shape[0]);
    const white = test.x instanceof Uint8Array ? 1 : 255;
    for (let k = 0; k < size; k++) image.data.set([white * test.x[i * size + k], white * test.x[i * size + k], white * test.x[i * size + k], 255], 4 * k);
    context.putImageData(image, 0, 0);
    return make("figure", {}, canvas, make("figcaption", {}, `${classes[test.labels[i]]} → ${classes[guesses[i]]}`));
  };
  byId("train-mistakes").replaceChildren(...wrong.slice(0, MISTAKES).map(tile));
}

/** Classes in the plane, or a fitted line, with the samples. */
function drawPlane({ task, plane: [left, bottom, right, top], train }, values) {
  const ratio = devicePixelRatio || 1;
  const side = plane.clientWidth;
  plane.width = plane.height = Math.round(side * ratio);
  const context = plane.getContext("2d");
  context.scale(ratio, ratio);
  const place = (x, y) => [((x - left) / (right - left)) * side, ((top - y) / (top - bottom)) * side];
  if (task === "line") drawLine(context, values, place, left, right);
  else context.drawImage(boundary(values), 0, 0, side, side);
  for (let i = 0; i < train.n; i++) {
    const [x, y] = task === "line" ? [train.x[i], train.targets[i]] : [train.x[2 * i], train.x[2 * i + 1]];
    context.beginPath();
    context.arc(...place(x, y), 3, 0, 7);
    context.fillStyle = css(classColour(train.labels?.[i] ?? 0));
    context.fill();
    context.strokeStyle = css(colour("paper"));
    context.stroke();
  }
}

function drawLine(context, values, place, left, right) {
  context.beginPath();
  values.forEach((y, i) => context.lineTo(...place(left + ((right - left) * i) / (values.length - 1), y)));
  context.strokeStyle = css(classColour(1));
  context.lineWidth = 3;
  context.stroke();
  context.lineWidth = 1;
}

function boundary(values) {
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const context = canvas.getContext("2d");
  const image = context.createImageData(SIDE, SIDE);
  const width = values.length / SIDE ** 2;
  for (let i = 0; i < SIDE ** 2; i++) {
    const p = width === 1 ? [1 - values[i], values[i]] : values.subarray(i * width, (i + 1) * width);
    const paper = colour("paper");
    const sum = paper.map((part, k) => p.reduce((total, share, c) => total + share * (0.35 * classColour(c)[k] + 0.65 * part), 0));
    image.data.set([...sum, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
