/**
 * Slices as the page gets them: texts that hold numbers of 16 bits.
 */

/**
 * Return the numbers of a slice: base64 of zlib of the high bytes, then the low ones, each number the difference
 * to its left neighbour modulo 2^16.
 * @param {string} text
 * @param {number} rows
 * @param {number} columns
 * @returns {Promise<Uint16Array>}
 */
export async function unpacked(text, rows, columns) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const halves = new Uint8Array(await new Response(inflated).arrayBuffer());
  const count = rows * columns;
  if (halves.length !== 2 * count) throw new Error("a slice of the page is damaged");
  const found = new Uint16Array(count);
  for (let row = 0, place = 0; row < rows; row++) {
    let value = 0;
    for (let column = 0; column < columns; column++, place++) {
      value = (value + ((halves[place] << 8) | halves[count + place])) & 0xffff;
      found[place] = value;
    }
  }
  return found;
}

/**
 * Return what came back: the source's numbers with their differences added, modulo 2^16.
 * @param {Uint16Array} source
 * @param {Uint16Array} apart
 */
export function added(source, apart) {
  return source.map((value, place) => (value + apart[place]) & 0xffff);
}
