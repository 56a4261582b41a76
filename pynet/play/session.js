// What the sections share: the core, the current network, the picture, and the listeners to changes.

import { byId } from "./dom.js";

export const session = {
  core: null, // see core.js
  styles: {}, // the layouts of glyphs
  formulas: {}, // of the kinds of layers
  net: null, // the network of sections 1 to 4
  model: null, // its description: see model.js
  pixels: null, // bytes, as many as the network has inputs; null: nothing is drawn
};

const listeners = {};

/** Events: "network": another network; "pixels": another picture; "drawn": section 2 has its prediction. */
export const on = (event, listener) => (listeners[event] ??= []).push(listener);
export const emit = (event) => listeners[event]?.forEach((listener) => listener());

/** The samples that the core takes: the picture, on the scale of the network's training. */
export function sample(pixels = session.pixels) {
  return { x: session.model.scaled(pixels), n: 1 };
}

/** Draws when the section comes into view, and then whenever asked: what nobody sees costs no time. */
export function whenSeen(id, action) {
  let [seen, due] = [false, true];
  const run = () => {
    due = !seen;
    if (seen) action();
  };
  new IntersectionObserver(([entry]) => {
    seen = entry.isIntersecting;
    if (seen && due) run();
  }).observe(byId(id));
  return () => requestAnimationFrame(run);
}
