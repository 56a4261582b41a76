// Section 5: logits become probabilities, a probability becomes a loss, and the loss its gradient.

import { byId, make, short, signed } from "./dom.js";
import { Bars, curves } from "./plots.js";
import { session } from "./session.js";

const NAMES = ["cat", "dog", "bird", "fish"];
const START = [2, 1, 0.1, -1];
const SHOWN = 6; // the highest loss of the curve

let [sliders, label, temperature] = [[], 0, 1];
let [bars, gradients] = [null, null];
let names = NAMES;

export function startSoftmax() {
  bars = new Bars(byId("softmax-bars"), (i) => {
    label = i;
    update();
  });
  gradients = new Bars(byId("softmax-gradients"));
  byId("softmax-temperature").oninput = (event) => {
    temperature = 10 ** event.target.valueAsNumber;
    update();
  };
  byId("softmax-p").oninput = (event) => setProbability(event.target.valueAsNumber);
  byId("softmax-reset").onclick = () => set(NAMES, START);
  byId("softmax-take").onclick = take;
  set(NAMES, START);
}

/** The four largest logits of the network above. */
function take() {
  const { prediction, model } = session;
  if (!prediction?.logits) {
    byId("softmax-note").textContent = prediction ? "This network does not end in softmax." : "Draw something in section 1 first.";
    return;
  }
  const order = [...prediction.logits.keys()].sort((a, b) => prediction.logits[b] - prediction.logits[a]).slice(0, NAMES.length);
  set(order.map((i) => model.classes[i]), order.map((i) => prediction.logits[i]));
  byId("softmax-note").textContent = "The largest logits of the drawing, without the other classes.";
}

function set(classes, logits) {
  [names, label, temperature] = [classes, 0, 1];
  byId("softmax-temperature").value = 0;
  byId("softmax-note").textContent = "";
  const end = Math.max(6, Math.ceil(Math.max(...logits.map(Math.abs))));
  sliders = logits.map((value, i) => {
    const slider = make("input", { type: "range", min: -end, max: end, step: 0.01, "aria-label": `logit of ${classes[i]}`, oninput: update });
    slider.value = value;
    return slider;
  });
  const line = (slider, i) => make("label", { className: "slide" }, make("span", {}, classes[i]), slider, make("output"));
  byId("softmax-sliders").replaceChildren(...sliders.map(line));
  update();
}

/** Moves the logit of the correct class to where its probability is p: as far as its slider goes. */
function setProbability(p) {
  const others = sliders.filter((_, i) => i !== label).reduce((sum, slider) => sum + Math.exp(slider.valueAsNumber / temperature), 0);
  sliders[label].value = temperature * Math.log((p / (1 - p)) * others);
  update();
}

function update() {
  const logits = sliders.map((slider) => slider.valueAsNumber);
  const most = Math.max(...logits);
  const exponentials = logits.map((x) => Math.exp((x - most) / temperature));
  const sum = exponentials.reduce((a, b) => a + b);
  const p = exponentials.map((value) => value / sum);
  const loss = -Math.log(p[label]);
  sliders.forEach((slider, i) => {
    slider.nextSibling.value = short(logits[i]);
  });
  byId("softmax-temperature-value").textContent = short(temperature, 2);
  bars.show(p.map((share, i) => ({ name: names[i], share, text: share.toFixed(4), marked: i === label })));
  gradients.show(p.map((share, i) => ({ name: names[i], share: share - Number(i === label), text: signed(share - Number(i === label)), marked: i === label })));
  byId("softmax-p").value = p[label];
  byId("softmax-p").setAttribute("aria-label", `probability of ${names[label]}`);
  byId("softmax-loss").textContent = `loss = −log ${short(p[label], 4)} = ${loss.toFixed(4)}`;
  const values = Array.from({ length: 199 }, (_, i) => -Math.log((i + 1) / 200));
  curves(byId("softmax-curve"), [{ values, kind: "train", step: 1 / 200 }], {
    x: [0, 1, `p of ${names[label]}`],
    y: [0, SHOWN],
    label: "the loss falls from infinity to 0 while the probability of the correct class grows from 0 to 1",
    dot: { x: p[label], y: loss },
  });
}
