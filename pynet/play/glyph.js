// Redraws ink at the size of a network's input, as pynet/pictures/glyph.py does for pictures: cropped, its strokes
// weighted, scaled, and centred by mass. Ink is {h, w, a}: h x w numbers from 0 (paper) to 1, row by row.
// The layouts of glyphs ("mnist", "digits") come with the page, from pynet/pictures/preparation.py.

const FINE = 4; // the width of a stroke is changed in steps of a fourth of a pixel
const OUTLINE = 0.3; // of full ink; a soft edge ends there

/** Ink as bytes (height x width), light on dark; null where there is none. style: a layout, or null: the whole sheet, its longer side cropped. */
export function prepared(ink, { height, width, style, background }) {
  if (!ink.a.some((value) => value > OUTLINE)) return null;
  const seen = style ? glyph(ink, height, width, style) : resized(middle(ink, height, width), height, width);
  const bytes = Uint8Array.from(seen.a, (value) => roundEven(255 * Math.min(Math.max(value, 0), 1)));
  if (!bytes.some((value) => value)) return null;
  return !style && background === "light" ? bytes.map((value) => 255 - value) : bytes;
}

/** The largest part with the proportions of height and width. */
function middle(ink, height, width) {
  const h = Math.min(ink.h, Math.round((ink.w * height) / width));
  const w = Math.min(ink.w, Math.round((ink.h * width) / height));
  return part(ink, (ink.h - h) >> 1, (ink.w - w) >> 1, h, w);
}

function glyph(ink, height, width, style) {
  const box = [Math.max(1, roundEven(height * style.box[0])), Math.max(1, roundEven(width * style.box[1]))];
  const drawn = weighted(crop(ink), box, style, Math.min(height, width));
  return centred(fit(drawn, box, style.stretch), height, width, style.by_mass);
}

/** As Python rounds: halves to the even number. */
export function roundEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}

const blank = (h, w) => ({ h, w, a: new Float32Array(h * w) });
const most = (a) => a.reduce((x, y) => Math.max(x, y), 0);

function crop(ink) {
  const limit = OUTLINE * most(ink.a);
  let [top, left, bottom, right] = [ink.h, ink.w, 0, 0];
  for (let y = 0; y < ink.h; y++)
    for (let x = 0; x < ink.w; x++)
      if (ink.a[y * ink.w + x] > limit) {
        [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
        [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
      }
  return part(ink, top, left, bottom - top, right - left);
}

/** A part of the ink; zeros where it reaches beyond. */
export function part(ink, top, left, h, w) {
  const found = blank(h, w);
  for (let y = Math.max(0, -top); y < Math.min(h, ink.h - top); y++)
    for (let x = Math.max(0, -left); x < Math.min(w, ink.w - left); x++)
      found.a[y * w + x] = ink.a[(y + top) * ink.w + x + left];
  return found;
}

const framed = (ink, edge) => part(ink, -edge, -edge, ink.h + 2 * edge, ink.w + 2 * edge);

/** As large as the box [height, width] allows; stretch: the height is always filled. */
function fit(ink, box, stretch) {
  let [down, across] = [box[0] / ink.h, box[1] / ink.w];
  across = Math.min(down, across);
  if (!stretch) down = across;
  return resized(ink, Math.max(1, roundEven(down * ink.h)), Math.max(1, roundEven(across * ink.w)));
}

/** Another size: pixels averaged where it shrinks, interpolated where it grows, as Pillow's resize does. */
export function resized(ink, h, w) {
  if (ink.h === h && ink.w === w) return ink;
  const filter = h < ink.h ? hamming : triangle;
  return transposed(rows(transposed(rows(ink, w, filter)), h, filter));
}

const triangle = (x) => Math.max(0, 1 - Math.abs(x));

function hamming(x) {
  if (x === 0) return 1;
  if (Math.abs(x) >= 1) return 0;
  return (Math.sin(Math.PI * x) / (Math.PI * x)) * (0.54 + 0.46 * Math.cos(Math.PI * x));
}

/** Each row resampled to w numbers. */
function rows(ink, w, filter) {
  const scale = ink.w / w;
  const wide = Math.max(scale, 1);
  const found = blank(ink.h, w);
  for (let x = 0; x < w; x++) {
    const centre = (x + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - wide + 0.5));
    const last = Math.min(ink.w, Math.floor(centre + wide + 0.5));
    const factors = [];
    for (let i = first; i < last; i++) factors.push(filter((i - centre + 0.5) / wide));
    const total = factors.reduce((a, b) => a + b, 0);
    for (let y = 0; y < ink.h; y++) {
      let sum = 0;
      for (let i = first; i < last; i++) sum += factors[i - first] * ink.a[y * ink.w + i];
      found.a[y * w + x] = sum / total;
    }
  }
  return found;
}

function transposed(ink) {
  const found = blank(ink.w, ink.h);
  for (let y = 0; y < ink.h; y++) for (let x = 0; x < ink.w; x++) found.a[x * ink.h + y] = ink.a[y * ink.w + x];
  return found;
}

/** The cropped ink, its strokes thicker or thinner where their width after scaling is none of the style's. */
function weighted(ink, box, style, side) {
  const fine = fit(ink, [FINE * box[0], FINE * box[1]], style.stretch);
  const width = strokeWidth(fine) / FINE / side;
  const wanted = Math.min(Math.max(width, style.weight[0]), style.weight[1]);
  if (wanted === width) return ink;
  const change = (FINE * side * (wanted - width)) / 2 / (1 - (wanted * side) / Math.max(...box));
  if (change > 0) return crop(dilated(framed(fine, Math.ceil(change) + 1), change));
  const paper = framed(fine, 1);
  const thin = inverted(dilated(inverted(paper), Math.min(-change, 0.4 * FINE * side * width)));
  return most(thin.a) > OUTLINE ? crop(thin) : ink;
}

const inverted = (ink) => ({ ...ink, a: ink.a.map((value) => 1 - value) });

/** The mean width of a stroke in pixels: twice the area over the length of its outline. */
function strokeWidth(ink) {
  const { h, w, a } = framed(ink, 1);
  let [area, outline] = [0, 0];
  for (let y = 0; y < h - 1; y++)
    for (let x = 0; x < w - 1; x++) {
      const here = a[y * w + x];
      area += here;
      outline += Math.hypot(a[(y + 1) * w + x] - here, a[y * w + x + 1] - here);
    }
  return (2 * area) / Math.max(outline, 1e-6);
}

/** Dilated by an octagon of this radius, in steps of one pixel and a last one of a fraction. */
function dilated(ink, radius) {
  for (let i = 0; i < Math.ceil(radius); i++) {
    const up = taller(ink);
    const more = i % 2 ? transposed(taller(transposed(up))) : larger(up, transposed(taller(transposed(ink))));
    const step = Math.min(1, radius - i);
    ink = { ...ink, a: ink.a.map((value, k) => value + step * (more.a[k] - value)) };
  }
  return ink;
}

const larger = (one, other) => ({ ...one, a: one.a.map((value, k) => Math.max(value, other.a[k])) });

/** The maximum of each pixel and those above and below it. */
function taller({ h, w, a }) {
  return { h, w, a: a.map((value, k) => Math.max(value, k >= w ? a[k - w] : 0, k < (h - 1) * w ? a[k + w] : 0)) };
}

/** In a picture (height, width), moved by whole pixels, all of it inside. */
function centred(ink, height, width, byMass) {
  let [y, x, total] = [0, 0, 0];
  ink.a.forEach((value, k) => {
    y += value * Math.floor(k / ink.w);
    x += value * (k % ink.w);
    total += value;
  });
  const middle = byMass ? [y / Math.max(total, 1e-6), x / Math.max(total, 1e-6)] : [ink.h / 2, ink.w / 2];
  const inside = (start, size, limit) => Math.min(Math.max(roundEven(start), 0), limit - size);
  const top = inside(height / 2 - middle[0], ink.h, height);
  const left = inside(width / 2 - middle[1], ink.w, width);
  return part(ink, -top, -left, height, width);
}
