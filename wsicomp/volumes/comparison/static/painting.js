/**
 * What is drawn on a canvas: slices in a window of values, differences, and the outline of a region.
 */

/** @typedef {import("./slice_store.js").ShownVolume} ShownVolume */
/** @typedef {{level: number, width: number}} Window in the values' own unit */

/** What differs at all is lighter than this: black is equal. */
export const LEAST_GREY = 40;
const OUTLINE = ["rgb(0 0 0 / 0.6)", "#ffb000"];
/** Pixels of the outline's canvas for each voxel. */
const FINER = 3;

/**
 * Draw a slice.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint16Array} numbers
 * @param {ShownVolume} volume
 * @param {Window} window
 */
export function paintSlice(canvas, numbers, { rows, columns, low, step }, { level, width }) {
  const least = level - width / 2;
  const scale = 255 / width;
  paint(canvas, rows, columns, numbers, (number) => (low + step * number - least) * scale);
}

/**
 * Draw how far two slices are apart: black where they are equal, dark grey where they hardly differ, white where the
 * difference, amplified, is as much as the window is wide.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint16Array} source
 * @param {Uint16Array} found
 * @param {ShownVolume} volume
 * @param {Window} window
 * @param {number} amplification
 */
export function paintDifference(canvas, source, found, { rows, columns, step }, { width }, amplification) {
  const scale = (Math.abs(step) * amplification * (255 - LEAST_GREY)) / width;
  paint(canvas, rows, columns, source, (number, place) => {
    const apart = Math.abs(number - found[place]);
    return apart && LEAST_GREY + apart * scale;
  });
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number} rows
 * @param {number} columns
 * @param {Uint16Array} numbers
 * @param {(number: number, place: number) => number} grey
 */
function paint(canvas, rows, columns, numbers, grey) {
  canvas.width = columns;
  canvas.height = rows;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const clamped = new Uint8ClampedArray(1);
  for (let place = 0; place < numbers.length; place++) {
    clamped[0] = grey(numbers[place], place);
    pixels[place] = 0xff000000 | (clamped[0] * 0x010101);
  }
  context.putImageData(image, 0, 0);
}

/**
 * Draw the outline of a region between its voxels and the others; nothing for null.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint16Array | null} mask
 * @param {ShownVolume} volume
 */
export function paintOutline(canvas, mask, { rows, columns }) {
  canvas.width = columns * FINER;
  canvas.height = rows * FINER;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  if (!mask) return;
  context.scale(FINER, FINER);
  context.beginPath();
  for (let y = 0; y <= rows; y++) {
    for (let x = 0; x <= columns; x++) {
      const here = y < rows && x < columns && mask[y * columns + x];
      if (y < rows && Boolean(here) !== Boolean(x && mask[y * columns + x - 1])) line(context, x, y, x, y + 1);
      if (x < columns && Boolean(here) !== Boolean(y && mask[(y - 1) * columns + x])) line(context, x, y, x + 1, y);
    }
  }
  for (const [number, style] of OUTLINE.entries()) {
    context.strokeStyle = style;
    context.lineWidth = (number ? 1.5 : 3) / FINER;
    context.stroke();
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} toX
 * @param {number} toY
 */
function line(context, x, y, toX, toY) {
  context.moveTo(x, y);
  context.lineTo(toX, toY);
}
