// Arrays in IDX files (the format of MNIST), raw or gz, and in .npz files. Nothing that a file declares is trusted.
// An array is {shape, values}: values a Uint8Array for bytes, else a Float32Array.

import { product } from "./core.js";

const GZIP = 0x1f8b;

/** Unpacked bytes. Error: damaged, or more than `most`. */
export async function unpacked(bytes, format, name, most) {
  const parts = [];
  let size = 0;
  const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format)).getReader();
  try {
    for (let part; !(part = await reader.read()).done; ) {
      size += part.value.length;
      if (size > most) break;
      parts.push(part.value);
    }
  } catch {
    throw new Error(`${name} is damaged: it cannot be unpacked`);
  }
  if (size > most) {
    reader.cancel();
    throw new Error(`${name} holds more than ${Math.round(most / 1e6)} MB unpacked, which is the most that is accepted here`);
  }
  const found = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    found.set(part, at);
    at += part.length;
  }
  return found;
}

/** The array of bytes in an IDX file. */
export async function readIdx(bytes, name, most) {
  if (bytes.length > 2 && ((bytes[0] << 8) | bytes[1]) === GZIP) bytes = await unpacked(bytes, "gzip", name, most);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const rank = bytes[3];
  if (bytes.length < 8 || view.getUint16(0) || bytes[2] !== 8 || rank < 1 || rank > 4 || bytes.length < 4 + 4 * rank)
    throw new Error(`${name} is no data file that is known here; accepted: .npz, IDX files of bytes, raw or gz, and .safetensors of pynet`);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const size = product(shape);
  const there = bytes.length - 4 - 4 * rank;
  if (size !== there) throw new Error(`${name}: the header declares ${shape.join(" × ")} = ${size} bytes, but ${there} follow`);
  return { shape, values: bytes.subarray(4 + 4 * rank) };
}

/** The arrays of an .npz file by name: those of numbers. */
export async function readNpz(bytes, name, most) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const damaged = (what) => new Error(`${name} is damaged, or no .npz: ${what}`);
  let end = bytes.length - 22;
  while (end >= Math.max(0, bytes.length - 65557) && view.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < 0 || view.getUint32(end, true) !== 0x06054b50) throw damaged("it has no directory");
  const found = {};
  let [at, left] = [view.getUint32(end + 16, true), most];
  try {
    for (let i = view.getUint16(end + 10, true); i; i--) {
      if (view.getUint32(at, true) !== 0x02014b50) throw damaged("its directory is broken");
      const [method, packed, length] = [view.getUint16(at + 10, true), view.getUint32(at + 20, true), view.getUint32(at + 24, true)];
      const [nameLength, extra, comment] = [28, 30, 32].map((k) => view.getUint16(at + k, true));
      const entry = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
      const local = view.getUint32(at + 42, true);
      const begin = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
      const content = bytes.subarray(begin, begin + packed);
      if (packed === 0xffffffff || length > left) throw new Error(`${name}: ${entry} has more than the ${Math.round(most / 1e6)} MB that are accepted here`);
      if (content.length !== packed || (method !== 0 && method !== 8)) throw damaged(`${entry} cannot be read`);
      const plain = method ? await unpacked(content, "deflate-raw", `${name}: ${entry}`, length) : content;
      if (plain.length !== length) throw damaged(`${entry} has ${plain.length} bytes instead of ${length}`);
      if (crc32(plain) !== view.getUint32(at + 16, true)) throw damaged(`the checksum of ${entry} is wrong`);
      left -= length;
      found[entry.replace(/\.npy$/, "")] = readNpy(plain, `${name}: ${entry}`);
      at += 46 + nameLength + extra + comment;
    }
  } catch (error) {
    throw error instanceof RangeError ? damaged("it ends early") : error;
  }
  return found;
}

const CRC = Int32Array.from({ length: 256 }, (_, byte) => {
  for (let k = 0; k < 8; k++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

/** The checksum of zip files. */
function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

const READERS = { u1: "getUint8", i1: "getInt8", b1: "getUint8", u2: "getUint16", i2: "getInt16", u4: "getUint32", i4: "getInt32", u8: "getBigUint64", i8: "getBigInt64", f4: "getFloat32", f8: "getFloat64" };

/** An array as NumPy saves it: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
function readNpy(bytes, name) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 12 || view.getUint32(0) !== 0x934e554d) throw new Error(`${name} is no array`);
  const long = bytes[6] > 1;
  const begin = (long ? 12 : 10) + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(bytes.subarray(10, begin));
  const [, order, kind] = header.match(/'descr': *'([<>|=])(\w+)'/) ?? [];
  const sizes = header.match(/'shape': *\(([\d, ]*)\)/)?.[1];
  if (!READERS[kind] || sizes === undefined) throw new Error(`${name} holds ${header.match(/'descr': *('[^']*')/)?.[1] ?? "no numbers"}; accepted: whole numbers and floats`);
  if (/'fortran_order': *True/.test(header)) throw new Error(`${name} is in Fortran order; accepted: C order, np.ascontiguousarray(x)`);
  const shape = sizes.split(",").filter((word) => word.trim()).map(Number);
  const [count, width] = [product(shape), Number(kind[1])];
  if (bytes.length - begin !== count * width) throw new Error(`${name} declares ${shape.join(" × ")} numbers, but ${bytes.length - begin} bytes follow`);
  if (kind === "u1") return { shape, values: bytes.slice(begin) };
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = Number(view[READERS[kind]](begin + i * width, order !== ">"));
  return { shape, values: asPixels(values) };
}

/** Whole numbers in 0..255, one of them 128 or more, are pixels, as in pynet/data/arrays.py. */
function asPixels(values) {
  const whole = values.every((value) => Number.isInteger(value) && value >= 0 && value <= 255);
  return whole && values.some((value) => value >= 128) ? Uint8Array.from(values) : values;
}
