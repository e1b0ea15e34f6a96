/**
 * Numbers as the page writes them: bytes, lengths, magnifications.
 */

import { nativePower } from "./session.js";

/** @typedef {import("./session.js").Slide} Slide */

/**
 * Return bytes in the unit that suits them, as wsicomp's reports do.
 * @param {number} bytes
 */
export function bytesText(bytes) {
  for (const [unit, size] of /** @type {[string, number][]} */ ([["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])) {
    if (bytes >= size * 0.9995) return `${(bytes / size).toPrecision(3)} ${unit}`.replace("e+3", "000");
  }
  return `${bytes} B`;
}

/** @param {number} saved fraction */
export function savedText(saved) {
  const percent = Math.abs(saved * 100).toFixed(1);
  return saved < 0 ? `${percent} % larger` : `${percent} % saved`;
}

/**
 * Return an SSIM rounded down: what is not exact never reads 1.000.
 * @param {number} ssim
 */
export function ssimText(ssim) {
  return (Math.floor(ssim * 1000) / 1000).toFixed(3);
}

/**
 * Return a zoom in words: "20x" where the slide says how large its pixels are, else the size of a pixel on the screen.
 * @param {Slide} slide
 * @param {number} scale screen px a level-0 px
 */
export function zoomText(slide, scale) {
  const power = nativePower(slide);
  if (power === null) return `${rounded(scale * 100)} %`;
  return `${rounded(power * scale)}x`;
}

/** @param {number} value */
function rounded(value) {
  return value >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(value >= 10 ? 3 : 2)));
}

/**
 * Return whether a pixel is as high as it is wide, to one in a hundred.
 * @param {Slide} slide
 */
function isSquare({ mpp, mpp_across: across }) {
  return mpp === null || across === null || Math.abs(mpp / across - 1) < 0.005;
}

/**
 * Return the scale bar that is nearest below some width: a round length of 1, 2 or 5.
 * @param {Slide} slide
 * @param {number} scale screen px a level-0 px
 * @param {number} mostPx
 * @returns {{px: number, text: string}}
 */
export function scaleBar(slide, scale, mostPx) {
  const unit = slide.mpp_across ?? 1;
  const most = (mostPx / scale) * unit;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].map((digit) => digit * power).find((each) => each <= most) ?? power;
  const px = (length / unit) * scale;
  if (slide.mpp_across === null) return { px, text: `${length.toLocaleString("en")} px (mpp unknown)` };
  const text = length >= 1000 ? `${length / 1000} mm` : `${Number(length.toPrecision(1))} um`;
  return { px, text: isSquare(slide) ? text : `${text} across` };
}
