/**
 * What the server says of the slides that are open: the types of session.json, and small facts drawn from it.
 */

/**
 * @typedef {object} Level one level of a slide, as the viewer's server cuts it
 * @property {number} width px
 * @property {number} height px
 * @property {number} tile_width
 * @property {number} tile_height
 * @property {number} columns
 * @property {number} rows
 * @property {number} downsample level-0 px a pixel of this level
 */

/**
 * @typedef {object} Slide
 * @property {number} id
 * @property {string} name the file's name
 * @property {string} title what its pane says
 * @property {number | null} bytes of the file; null where it has none
 * @property {number | null} saved fraction of the source's bytes
 * @property {string} doubt why it is no conversion of its source, "" where it can be one
 * @property {"source" | "conversion"} role
 * @property {number | null} source the id of its source
 * @property {number | null} mpp um a level-0 pixel; the geometric mean where its sides differ
 * @property {number | null} mpp_across um from a level-0 pixel to the next one in its row
 * @property {number | null} objective_power
 * @property {number} width level-0 px of this slide
 * @property {number} height level-0 px of this slide
 * @property {number} scale level-0 px of the first slide a level-0 px of this one
 * @property {Level[]} levels largest first
 * @property {boolean} icc it carries a colour profile
 * @property {boolean} has_outcomes
 * @property {boolean} has_worst
 * @property {string[]} associated
 * @property {string} codec
 */

/**
 * @typedef {object} Session
 * @property {string} title
 * @property {Slide[]} slides
 * @property {boolean} mask
 * @property {{id: number, name: string}[]} annotations
 * @property {{outline: boolean, outline_reason: string, estimate: boolean}} features
 * @property {boolean} folder
 * @property {boolean} [results] the results of a comparison are shown too
 * @property {import("./archive.js").OpenedEntry} [entry] the slide of a folder that is open
 */

/** @typedef {{x: number, y: number, width: number, height: number}} Region in level-0 px of the first slide */

/**
 * Return a slide's source among the slides that are open.
 * @param {Session} session
 * @param {Slide} slide
 * @returns {Slide | undefined}
 */
export function sourceOf(session, slide) {
  return session.slides.find((other) => other.id === slide.source);
}

/**
 * Return a level's downsample without the rounding of its size: a level of floor(width / 4) px is sampled at 4.
 * @param {Slide} slide
 * @param {Level} level
 */
export function trueDownsample(slide, level) {
  const whole = Math.round(level.downsample);
  const fits =
    Math.abs(slide.width / whole - level.width) <= 1 && Math.abs(slide.height / whole - level.height) <= 1;
  return fits ? whole : level.downsample;
}

/**
 * Return the magnification at which one pixel of the slide is one on the screen, or null where no fact says it.
 * A pixel of a quarter um is what a 40x objective gives.
 * @param {Slide} slide
 * @returns {number | null}
 */
export function nativePower(slide) {
  if (slide.objective_power) return slide.objective_power;
  return slide.mpp ? 10 / slide.mpp : null;
}
