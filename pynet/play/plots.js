// Bars for probabilities, and curves.

import { draw, make } from "./dom.js";

/** Bars with a name and a text each: rows of {name, share, text, marked}; share: -1 to 1 of the width. */
export class Bars {
  constructor(node, choose = null) {
    Object.assign(this, { node, choose, rows: [] });
    node.classList.add("bars");
  }

  show(rows) {
    if (this.rows.length !== rows.length) this.build(rows.length);
    const signed = rows.some(({ share }) => share < 0);
    rows.forEach(({ name, share, text, marked = false }, i) => {
      const [label, bar, number] = this.rows[i].children;
      label.textContent = name;
      bar.firstChild.style.width = `${100 * Math.min(Math.abs(share) || 0, 1)}%`;
      bar.firstChild.className = share < 0 ? "minus" : signed ? "plus" : "";
      number.textContent = text;
      this.rows[i].classList.toggle("marked", marked);
      if (this.choose) this.rows[i].setAttribute("aria-pressed", marked);
    });
  }

  build(count) {
    const row = (_, i) => {
      const parts = [make("span"), make("span", { className: "bar" }, make("span")), make("span")];
      return this.choose ? make("button", { type: "button", onclick: () => this.choose(i) }, ...parts) : make("div", {}, ...parts);
    };
    this.rows = Array.from({ length: count }, row);
    this.node.replaceChildren(...this.rows);
  }
}

const [WIDTH, HEIGHT, LEFT, TOP, BELOW] = [340, 150, 46, 8, 24];

/** Curves on one scale: series of {name, values: [y, ...], kind}, values[i] at from + i; a dot {x, y} where wanted. */
export function curves(node, series, { x: [from, to, xText], y: [low, high], label, dot = null }) {
  const across = (x) => LEFT + ((x - from) / (to - from || 1)) * (WIDTH - LEFT - 8);
  const up = (y) => TOP + (1 - (Math.min(y, high) - low) / (high - low || 1)) * (HEIGHT - TOP - BELOW);
  const text = (x, y, words, anchor = "start") => draw("text", { x, y, "text-anchor": anchor }, words);
  const number = (value) => String(Number(value.toPrecision(3)));
  const lines = series.map(({ values, kind, step = 1 }) => {
    const points = [];
    values.forEach((y, i) => Number.isFinite(y) && points.push(`${across(from + i * step).toFixed(1)},${up(y).toFixed(1)}`));
    return draw("polyline", { points: points.join(" "), class: kind });
  });
  const frame = draw("path", { d: `M${LEFT} ${TOP}V${HEIGHT - BELOW}H${WIDTH - 8}`, class: "axis" });
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, frame, ...lines);
  svg.append(text(LEFT - 6, TOP + 9, number(high), "end"), text(LEFT - 6, HEIGHT - BELOW, number(low), "end"));
  svg.append(text(LEFT, HEIGHT - 8, number(from)), text(WIDTH - 8, HEIGHT - 8, number(to), "end"), text((LEFT + WIDTH) / 2, HEIGHT - 8, xText, "middle"));
  if (dot) svg.append(draw("circle", { cx: across(dot.x), cy: up(dot.y), r: 5 }));
  node.replaceChildren(svg);
}
