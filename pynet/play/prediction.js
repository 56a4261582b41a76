// Section 2: the probabilities of the classes, their temperature, the logits, and which pixels decide.

import { byId, largest, percent, report, short } from "./dom.js";
import { Grid } from "./grid.js";
import { closing, scores } from "./model.js";
import { Bars } from "./plots.js";
import { emit, on, sample, session } from "./session.js";

const UNSURE = 0.6; // lower probabilities are called unsure
const MOST = 12; // classes that are listed

let bars, saliency;
let temperature = 1;

export function startPrediction() {
  bars = new Bars(byId("bars"));
  saliency = new Grid(byId("saliency"), { cell: [2, 20], height: 200 });
  byId("temperature").oninput = (event) => {
    temperature = 10 ** event.target.valueAsNumber;
    update();
  };
  byId("why").onclick = () => {
    const pressed = byId("why").getAttribute("aria-pressed") !== "true";
    byId("why").setAttribute("aria-pressed", pressed);
    byId("saliency-part").hidden = !pressed;
    update();
  };
  on("pixels", update);
}

/** The index of the layer whose outputs are the logits: the one before a last softmax. */
export function logitsLayer(net) {
  const top = net.layers.map((layer, i) => ({ layer, i })).filter(({ layer }) => !layer.path.includes("."));
  return (top.at(-1).layer.kind === "softmax" && top.length > 1 ? top.at(-2) : top.at(-1)).i;
}

function update() {
  const { net, model, pixels } = session;
  byId("temperature-value").textContent = short(temperature, 2);
  const soft = closing(net) === "softmax";
  const words = soft || closing(net) === "sigmoid" ? percent : short; // other outputs are no probabilities
  byId("temperature").disabled = !soft;
  if (!pixels) {
    empty(model.classes);
    return;
  }
  const data = sample();
  const p = scores(net, net.predict(data.x, 1, temperature));
  net.infer(data);
  const logits = net.activation(logitsLayer(net), 1);
  const best = largest(p);
  byId("prediction-name").textContent = model.classes[best];
  byId("prediction-sure").textContent = words(p[best]);
  report("prediction-message", p[best] >= UNSURE ? "" : "The network is unsure.");
  const listed = [...p.keys()];
  if (listed.length > MOST) listed.sort((a, b) => p[b] - p[a]).splice(MOST);
  bars.show(
    listed.map((i) => ({
      name: model.classes[i],
      share: p[i],
      text: `${words(p[i])}${soft ? `  (${short(logits[i], 3)})` : ""}`,
      marked: i === best,
    })),
  );
  session.prediction = { p: Array.from(p), logits: soft ? Array.from(logits) : null, best };
  if (!byId("saliency-part").hidden) why(data, best, logits.length);
  emit("drawn");
}

function empty(classes) {
  session.prediction = null;
  byId("prediction-name").textContent = "–";
  byId("prediction-sure").textContent = "";
  report("prediction-message", "Nothing is drawn yet, so there is no prediction.");
  bars.show(classes.slice(0, MOST).map((name) => ({ name, share: 0, text: "" })));
  saliency.clear();
  emit("drawn");
}

/** The gradient of the class's logit at the pixels (Simonyan, Vedaldi and Zisserman 2014). */
function why(data, best, outputs) {
  const { net, model } = session;
  const dy = new Float32Array(outputs);
  dy[Math.min(best, outputs - 1)] = outputs === 1 && best === 0 ? -1 : 1;
  saliency.show(net.inputGradient(data, 1, logitsLayer(net), dy), [model.height, model.width]);
}
