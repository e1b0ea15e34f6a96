/**
 * The slices of volumes and candidates: loaded with their scripts when they are first shown.
 */

import { added, unpacked } from "./packed.js";

/**
 * @typedef {object} ShownVolume
 * @property {string} name
 * @property {number} rows
 * @property {number} columns
 * @property {number} aspect width over height, by the voxels' spacing
 * @property {number[]} slices numbers of those that are shown
 * @property {number} sliceCount of the whole volume
 * @property {number} stride every so manieth voxel of a row and column is shown
 * @property {number} low what number 0 stands for
 * @property {number} step between neighbouring numbers
 * @property {boolean} isTrue whether numbers are the stored values, and not only near them
 * @property {string} unit
 * @property {{name: string, level: number, width: number}[]} windows
 * @property {{label: string, reason: string}[]} candidates a reason is why there is no file
 */
/** @typedef {{texts: string[], masks: string[], exact: boolean[]}} Packed */
/**
 * @typedef {object} ShownSlice
 * @property {Uint16Array} source
 * @property {Uint16Array} found
 * @property {Uint16Array | null} mask 1 in the region
 * @property {boolean} isExact whether every voxel of the slice came back
 */

const MOST_KEPT = 24;

export class SliceStore {
  /** @param {ShownVolume[]} volumes */
  constructor(volumes) {
    this.volumes = volumes;
    /** @type {Map<string, Packed>} */
    this.packed = new Map();
    /** @type {Map<string, Promise<void>>} */
    this.loading = new Map();
    /** @type {Map<string, ShownSlice>} */
    this.kept = new Map();
  }

  /**
   * Called by the script of a volume.
   * @param {number} volume
   * @param {string[]} texts
   */
  addSource(volume, texts) {
    this.packed.set(`${volume}`, { texts, masks: [], exact: [] });
  }

  /**
   * Called by the script of a candidate.
   * @param {number} volume
   * @param {number} candidate
   * @param {[string[], string[], boolean[]]} packed
   */
  addCandidate(volume, candidate, [texts, masks, exact]) {
    this.packed.set(`${volume}-${candidate}`, { texts, masks, exact });
  }

  /**
   * Return a slice of a volume and what a candidate made of it.
   * @param {number} volume
   * @param {number} candidate
   * @param {number} place of the slice among those that are shown
   * @returns {Promise<ShownSlice>}
   */
  async slice(volume, candidate, place) {
    const key = `${volume}-${candidate}-${place}`;
    const known = this.kept.get(key);
    if (known) return known;
    const { rows, columns } = this.volumes[volume];
    const [before, after] = await Promise.all([this.load(`${volume}`), this.load(`${volume}-${candidate}`)]);
    const source = await unpacked(before.texts[place], rows, columns);
    const apart = after.texts[place];
    const mask = after.masks[place];
    const found = {
      source,
      found: apart ? added(source, await unpacked(apart, rows, columns)) : source,
      mask: mask ? await unpacked(mask, rows, columns) : null,
      isExact: after.exact[place],
    };
    if (this.kept.size >= MOST_KEPT) this.kept.delete(/** @type {string} */ (this.kept.keys().next().value));
    this.kept.set(key, found);
    return found;
  }

  /**
   * @param {string} name
   * @returns {Promise<Packed>}
   */
  async load(name) {
    if (!this.loading.has(name)) this.loading.set(name, loadScript(`volume-${name}.js`));
    await this.loading.get(name);
    const found = this.packed.get(name);
    if (!found) throw new Error(`volume-${name}.js holds no slices`);
    return found;
  }
}

/**
 * @param {string} address
 * @returns {Promise<void>}
 */
function loadScript(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => reject(new Error(`${address} is missing beside this page`)));
    document.head.append(script);
  });
}
