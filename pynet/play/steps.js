// Section 4: the four steps of learning on one image, with all numbers, forward and back through a training.
// The numbers are those of pynet.explain (pynet train --explain) for the same network, sample and learning rate.

import { attempt, byId, largest, make, report, shapeText, short, signed, table, whole } from "./dom.js";
import { Grid } from "./grid.js";
import { scores } from "./model.js";
import { logitsLayer } from "./prediction.js";
import { Bars } from "./plots.js";
import { on, sample, session, whenSeen } from "./session.js";

const TEXT = "input(64) dense(16) relu dense(10) softmax"; // of the new network
const LARGEST = 3; // weight changes that are shown for each tensor
const MOST = 200; // steps of a training
const LIMITS = { mae: ", of which the sign alone counts", huber: ", cut off at delta" };
const PHASES = ["1 Forward", "2 Loss", "3 Gradient", "4 Update"];

let digits, grid;
let [step, phase, found] = [0, 0, null];

export function startSteps(data) {
  digits = data;
  grid = new Grid(byId("steps-picture"), { grey: true, cell: [2, 20], height: 160 });
  const refresh = whenSeen("steps", restart);
  byId("steps-tabs").append(...PHASES.map((name, i) => make("button", { type: "button", onclick: () => go(step, i) }, name)));
  byId("steps-back").onclick = () => go(phase ? step : step - 1, (phase + 3) % 4);
  byId("steps-next").onclick = () => go(phase < 3 ? step : step + 1, (phase + 1) % 4);
  byId("steps-from").onchange = restart;
  byId("steps-label").onchange = restart;
  byId("steps-rate").onchange = restart;
  on("network", () => {
    byId("steps-label").replaceChildren(...session.model.classes.map((name) => make("option", {}, name)));
    refresh();
  });
  on("pixels", () => {
    if (session.model.classes.includes(session.label)) byId("steps-label").value = session.label;
    if (mine()) refresh();
  });
}

const mine = () => byId("steps-from").value === "drawing";

function restart() {
  byId("steps-label-part").hidden = !mine();
  [step, phase] = [0, 0];
  go(0, 0);
}

function go(toStep, toPhase) {
  if (toStep < 0 || toStep >= MOST) return;
  [step, phase] = [toStep, toPhase];
  attempt("steps-message", () => {
    report("steps-message", "");
    found = mine() && !session.pixels ? null : computed();
    show();
  });
}

/** The samples of the training, one a step: the drawing again and again, or the digits in pynet's order. */
function samples() {
  if (mine()) {
    const { x } = sample();
    const label = Math.max(0, byId("steps-label").selectedIndex);
    const { height, width } = session.model;
    const labels = session.net.outputs === 1 ? { targets: Float32Array.of(label) } : { labels: Int32Array.of(label) };
    return { at: () => ({ x, ...labels, n: 1 }), label: () => label, shape: [height, width], pixels: () => session.pixels };
  }
  const order = session.core.shuffle(digits.train.n, 0, 0);
  const pixels = (t) => digits.train.x.subarray(64 * order[t], 64 * order[t] + 64);
  const label = (t) => digits.train.labels[order[t]];
  return { at: (t) => ({ x: pixels(t), labels: Int32Array.of(label(t)), n: 1 }), label, shape: digits.shape, pixels };
}

/** All numbers of this step, by a copy of the network that has taken the steps before. */
function computed() {
  const { core } = session;
  const optimizer = { kind: "sgd", learning_rate: Number(byId("steps-rate").value) };
  const source = samples();
  const net = mine() ? core.load(session.net.save()) : core.net(TEXT, 0);
  try {
    for (let t = 0; t < step; t++) {
      const data = source.at(t);
      net.forward(data);
      net.loss(data);
      net.backward();
      net.update(optimizer);
    }
    const data = source.at(step);
    net.forward(data);
    const layers = net.layers.map((layer, i) => ({ ...layer, values: net.activation(i, 1) }));
    const loss = net.loss(data);
    net.backward();
    const trained = net.tensors.map((tensor, i) => ({ ...tensor, i })).filter((tensor) => tensor.trained);
    const before = trained.map(({ i }) => Float32Array.from(net.tensor(i)));
    const gradients = trained.map(({ i }) => Float32Array.from(net.gradient(i)));
    net.update(optimizer);
    const tensors = trained.map((tensor, k) => ({ ...tensor, before: before[k], gradient: gradients[k], after: Float32Array.from(net.tensor(tensor.i)) }));
    const after = net.evaluate(data);
    const p = layers.at(-1).values;
    const label = source.label(step);
    const y = net.outputs === 1 ? Float32Array.of(label) : Float32Array.from(p, (_, i) => Number(i === label));
    const classes = mine() ? session.model.classes : digits.classes;
    const [best, name] = [largest(scores(net, p)), (i) => classes[p.length === 1 ? classes.length - 1 : i]]; // one output is the probability of the second class
    return { name, best, layers, logits: layers[logitsLayer(net)].values, loss, lossName: net.lossName, tensors, p, y, label, classes, optimizer, lossAfter: after.loss, shape: source.shape, pixels: source.pixels(step) };
  } finally {
    net.free();
  }
}

function show() {
  byId("steps-place").textContent = `step ${step + 1} of the training`;
  [...byId("steps-tabs").children].forEach((tab, i) => tab.setAttribute("aria-pressed", i === phase));
  byId("steps-back").disabled = step === 0 && phase === 0;
  if (!found) {
    byId("steps-body").replaceChildren(make("p", {}, "Draw something in section 1 first."));
    grid.clear();
    return;
  }
  grid.show(Uint8Array.from(found.pixels), found.shape);
  byId("steps-truth").textContent = `label: ${found.classes[found.label]}`;
  byId("steps-body").replaceChildren(...[forward, lossPart, gradient, update][phase](found));
}

const text = (...parts) => make("p", {}, ...parts);

function forward({ layers, logits, p, best, name, classes, label, lossName }) {
  const rows = layers.map(({ path, text: word, kind, outShape, values }) => {
    const zeros = values.filter((value) => value === 0).length / values.length;
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const [low, high] = [Math.min, Math.max].map((pick) => values.reduce((a, b) => pick(a, b)));
    return [`${path} ${word}`, shapeText(outShape), short(low), short(high), short(mean), `${Math.round(100 * zeros)} %`, session.formulas[kind] ?? ""];
  });
  const parts = [text("Every layer computes its outputs from those of the layer before; the last ones are the prediction."), table(["layer", "outputs", "least", "most", "mean", "zero", "formula"], rows)];
  if (lossName === "cross_entropy") {
    const most = Math.max(...logits);
    const exponentials = Array.from(logits, (z) => Math.exp(z - most));
    const sum = exponentials.reduce((a, b) => a + b);
    const listed = shown(p, label).map((i) => [name(i), logits[i].toFixed(4), exponentials[i].toFixed(4), p[i].toFixed(4)]);
    parts.push(text(`Softmax of the logits z: the largest, ${most.toFixed(4)}, is subtracted from all; then p = exp / sum, the sum of all exp being ${sum.toFixed(4)}.`), table(["class", "z", "exp", "p"], listed));
  }
  parts.push(text(`Predicted: ${classes[best]}, ${best === label ? "correct." : `wrong, the label is ${classes[label]}.`}`));
  return parts;
}

function lossPart({ lossName, loss, p, label, classes }) {
  if (lossName !== "cross_entropy") return [text(`The loss of this network, ${lossName}, of the outputs and the label is ${loss.toFixed(4)}.`)];
  const uniform = Math.log(p.length).toFixed(4);
  return [
    text("The loss is one number for how wrong the prediction is: minus the logarithm of the probability of the correct class."),
    make("p", { className: "formula" }, `−log p[${classes[label]}] = −log ${short(p[label], 4)} = ${loss.toFixed(4)}`),
    text(`Equal probabilities, 1/${p.length}, would give −log 1/${p.length} = ${uniform}.`),
  ];
}

function gradient({ p, y, label, name, tensors, lossName }) {
  const bars = make("div");
  new Bars(bars).show(
    shown(p, label).map((i) => ({ name: name(i), share: p[i] - y[i], text: `${p[i].toFixed(4)} − ${short(y[i])} = ${signed(p[i] - y[i])}`, marked: p.length > 1 && i === label })),
  );
  const rows = tensors.toReversed().map(({ name: tensor, shape, gradient: dw }) => {
    const norm = Math.sqrt(dw.reduce((sum, value) => sum + value * value, 0));
    const zeros = dw.filter((value) => value === 0).length / dw.length;
    return [`d${tensor}`, shapeText(shape), short(norm, 4), `${Math.round(100 * zeros)} %`];
  });
  const where = lossName === "cross_entropy" || lossName === "bce" ? "the logits" : "the outputs";
  return [
    text(`How the loss changes with ${where}: p − y, the prediction minus the target${LIMITS[lossName] ?? ""}.`),
    bars,
    text("Backpropagation carries it back by the chain rule, layer by layer, to every parameter:"),
    table(["gradient", "shape", "norm", "zero"], rows),
  ];
}

function update({ tensors, optimizer, loss, lossAfter }) {
  const rows = tensors.flatMap(({ name, shape, before, gradient: dw, after }) =>
    strongest(before, after).map((i) => [`${name}[${place(i, shape)}]`, signed(before[i], 5), signed(after[i], 5), signed(dw[i], 5)]),
  );
  return [
    text(`Every parameter takes a small step against its gradient: w = w − ${optimizer.learning_rate} dw. The largest changes:`),
    table(["parameter", "before", "after", "dw"], rows),
    text(`After the step, the loss of this image is ${lossAfter.toFixed(4)} instead of ${loss.toFixed(4)}.`),
  ];
}

/** Up to 12 classes: the likeliest ones and the label. */
function shown(p, label) {
  const order = [...p.keys()];
  if (order.length <= 12) return order;
  const likeliest = order.sort((a, b) => p[b] - p[a]).slice(0, 11);
  return [...new Set([...likeliest, label])].sort((a, b) => a - b);
}

/** The places of the largest changes, largest first, without zeros. */
function strongest(before, after) {
  const size = (i) => Math.abs(after[i] - before[i]);
  const best = [];
  for (let i = 0; i < before.length; i++) {
    if (!size(i) || (best.length === LARGEST && size(i) <= size(best.at(-1)))) continue;
    best.push(i);
    best.sort((a, b) => size(b) - size(a) || a - b).splice(LARGEST);
  }
  return best;
}

function place(index, shape) {
  const parts = [];
  for (const size of shape.toReversed()) {
    parts.unshift(index % size);
    index = Math.floor(index / size);
  }
  return parts.map(whole).join(",");
}
