/**
 * Names, classes and colours of annotations, in each form in which QuPath has written them.
 *
 * Source: QuPath's QuPathTypeAdapters and PathClassFactory.
 */

/** @typedef {import("./shapes.js").Color} Color */
/** @typedef {import("./shapes.js").Shape} Shape */

const MOST_NAME = 200;
const MOST_PARENTS = 32;

/** The classes that QuPath offers at first, with their colours. @type {readonly [string, Color][]} */
export const KNOWN_CLASSES = [
  ["Tumor", [200, 0, 0]],
  ["Stroma", [150, 200, 150]],
  ["Immune cells", [160, 90, 160]],
  ["Necrosis", [50, 50, 50]],
  ["Other", [255, 200, 0]],
];
/** The colour of what has neither class nor colour. @type {Color} */
export const PLAIN = [255, 0, 0];

/**
 * Return name, class and colour of an annotation.
 * @param {Record<string, unknown>} properties
 * @returns {Omit<Shape, 'polygons'>}
 */
export function labelled(properties) {
  const className = classOf(properties.classification, 0);
  const of = isRecord(properties.classification) ? properties.classification : {};
  const color = colorOf(of.color) ?? packedColor(of.colorRGB) ?? colorOf(properties.color);
  return { name: shortened(properties.name), className, color: color ?? classColor(className) };
}

/**
 * Return the name of a class in each form that QuPath has written.
 * @param {unknown} classification
 * @param {number} depth
 * @returns {string}
 */
function classOf(classification, depth) {
  if (typeof classification === "string") return shortened(classification);
  if (!isRecord(classification) || depth > MOST_PARENTS) return "";
  if (Array.isArray(classification.names)) return shortened(classification.names.map(String).join(": "));
  const parent = classOf(classification.parentClass, depth + 1);
  return shortened([parent, shortened(classification.name)].filter(Boolean).join(": "));
}

/**
 * Return the colour that a class has at first.
 * @param {string} className
 * @returns {Color}
 */
export function classColor(className) {
  return KNOWN_CLASSES.find(([name]) => name === className)?.[1] ?? PLAIN;
}

/**
 * Return three numbers from 0 to 255, or null.
 * @param {unknown} value
 * @returns {Color|null}
 */
function colorOf(value) {
  if (!Array.isArray(value) || value.length < 3) return null;
  const parts = value.slice(0, 3);
  const good = parts.every((part) => Number.isInteger(part) && part >= 0 && part <= 255);
  return good ? /** @type {Color} */ (/** @type {unknown} */ (parts)) : null;
}

/**
 * Return the colour in an integer 0xAARRGGBB, as QuPath wrote it before 0.4, or null.
 * @param {unknown} value
 * @returns {Color|null}
 */
function packedColor(value) {
  if (typeof value !== "number" || !Number.isInteger(value)) return null;
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

/** @param {unknown} value @returns {string} */
function shortened(value) {
  return typeof value === "string" ? value.trim().slice(0, MOST_NAME) : "";
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
export function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
