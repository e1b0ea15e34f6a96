/**
 * A slide's levels as OpenSeadragon wants them: the tiles as they are stored, at any step between levels.
 */

import { OpenSeadragon } from "./osd.js";
import { trueDownsample } from "./session.js";

/** @typedef {import("./session.js").Slide} Slide */
/** @typedef {import("./session.js").Level} Level */
/** @typedef {(level: number, column: number, row: number) => string} TileAddress level 0 is the largest */

/** The tiles of one slide; OpenSeadragon counts levels from the smallest, the server from the largest. */
export class SlideTileSource extends OpenSeadragon.TileSource {
  /**
   * @param {Slide} slide whose levels and tiles these are
   * @param {TileAddress} address of a tile
   */
  constructor(slide, address) {
    const { width, height, levels } = slide;
    const { tile_width: tileWidth, tile_height: tileHeight } = levels[0];
    super(
      /** @type {any} */ ({ width, height, tileWidth, tileHeight, minLevel: 0, maxLevel: levels.length - 1 }),
    );
    this.slide = slide;
    this.address = address;
  }

  /**
   * @param {number} level as OpenSeadragon counts
   * @returns {Level}
   */
  levelAt(level) {
    return this.slide.levels[this.maxLevel - level];
  }

  /** @param {number} level */
  getLevelScale(level) {
    return 1 / trueDownsample(this.slide, this.levelAt(level));
  }

  /** @param {number} level */
  getTileWidth(level) {
    return this.levelAt(level).tile_width;
  }

  /** @param {number} level */
  getTileHeight(level) {
    return this.levelAt(level).tile_height;
  }

  /** @param {number} level */
  getNumTiles(level) {
    const { columns, rows } = this.levelAt(level);
    return new OpenSeadragon.Point(columns, rows);
  }

  /**
   * Return where a tile lies, or which part of its picture shows: tiles at the edge may be padded.
   * @param {number} level
   * @param {number} column
   * @param {number} row
   * @param {boolean} [isSource] in the tile's own pixels
   */
  getTileBounds(level, column, row, isSource) {
    const shape = this.levelAt(level);
    const x = column * shape.tile_width;
    const y = row * shape.tile_height;
    const width = Math.min(shape.tile_width, shape.width - x);
    const height = Math.min(shape.tile_height, shape.height - y);
    if (isSource) return new OpenSeadragon.Rect(0, 0, width, height);
    const unit = trueDownsample(this.slide, shape) / this.slide.width;
    return new OpenSeadragon.Rect(x * unit, y * unit, width * unit, height * unit);
  }

  /**
   * @param {number} level
   * @param {import("openseadragon").Point} point in widths of the slide
   * @returns {any}
   */
  getTileAtPoint(level, point) {
    const shape = this.levelAt(level);
    const pixels = this.slide.width / trueDownsample(this.slide, shape);
    const column = Math.floor((point.x * pixels) / shape.tile_width);
    const row = Math.floor((point.y * pixels) / shape.tile_height);
    return new OpenSeadragon.Point(
      Math.max(0, Math.min(column, shape.columns - 1)),
      Math.max(0, Math.min(row, shape.rows - 1)),
    );
  }

  /**
   * @param {number} level
   * @param {number} column
   * @param {number} row
   */
  getTileUrl(level, column, row) {
    return this.address(this.maxLevel - level, column, row);
  }
}
