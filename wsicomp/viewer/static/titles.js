/**
 * The title above each picture: which file, what it weighs, what it saves, and how like its source it is in sight.
 */

import { button, chooser, make } from "./dom.js";
import { bytesText, savedText, ssimText } from "./measures.js";
import { askJson, isAborted } from "./server.js";
import { sourceOf } from "./session.js";

/** @typedef {import("./panes.js").Panes} Panes */
/** @typedef {import("./session.js").Slide} Slide */

const STILL_MS = 300;

/**
 * Keep the titles of all panes.
 * @param {Panes} panes
 */
export function startTitles(panes) {
  const titles = panes.panes.map((_, index) => new SlideTitle(panes, index));
  const difference = new DifferenceTitle(panes);
  const all = [...titles, difference];
  let timer = 0;
  const measure = () => all.forEach((title) => void title.measure());
  panes.addEventListener("mode", () => all.forEach((title) => title.write()));
  panes.addEventListener("amplification", () => difference.writeFactor());
  panes.addEventListener("stack", () => titles.forEach((title) => title.mark()));
  panes.addEventListener("view", () => {
    clearTimeout(timer);
    timer = window.setTimeout(measure, STILL_MS);
  });
}

/**
 * @typedef {object} Found
 * @property {number | null} ssim null where a side has less than 11 px
 * @property {number | null} psnr dB; null where every pixel is the same
 * @property {boolean} exact every pixel that was compared is the same
 * @property {number} most the largest difference of a sample, in grey levels
 * @property {number} share how much of the view was compared: the middle of a large one
 */

/** The figure of likeness between two slides in sight, asked for once the picture stands still. */
class Likeness {
  /** @param {Panes} panes */
  constructor(panes) {
    this.panes = panes;
    this.element = make("span", { class: "fact likeness stale" }, "SSIM \u2026");
    this.asked = "";
    this.abort = new AbortController();
  }

  /**
   * @param {Slide} source
   * @param {Slide} slide
   */
  async measure(source, slide) {
    const { x, y, width, height, px } = inPixelsOf(source, this.panes.viewRegion());
    const address = `similarity/${source.id}/${slide.id}?x=${x}&y=${y}&width=${width}&height=${height}&px=${px}`;
    if (address === this.asked) return;
    this.asked = address;
    this.abort.abort();
    this.abort = new AbortController();
    this.element.classList.add("stale");
    try {
      this.#write(await askJson(address, { signal: this.abort.signal }));
    } catch (error) {
      if (isAborted(error)) return;
      this.asked = "";
      this.element.textContent = "";
    }
    this.element.classList.remove("stale");
  }

  /** @param {Found} found */
  #write({ ssim, psnr, exact, most, share }) {
    const isWhole = share === 1;
    const where = isWhole ? "what is in sight" : `the middle of what is in sight, ${Math.floor(share * 1000) / 10} % of it`;
    const facts = [
      ...(ssim === null ? [] : [`SSIM ${ssim.toFixed(5)}`]),
      ...(psnr === null ? [] : [`PSNR ${psnr.toFixed(1)} dB`]),
      `at most ${most} grey levels off`,
    ];
    this.element.classList.toggle("exact", exact && isWhole);
    const text = exact ? "exact" : ssim === null ? `${most} off` : `SSIM ${ssimText(ssim)}`;
    this.element.replaceChildren(text, make("span", { class: exact ? "" : "wide" }, isWhole ? " in view" : " in the middle"));
    this.element.title = exact ? `Every pixel of ${where} is the source's.` : `${facts.join(", ")}, over ${where}`;
  }
}

/** The title of one slide. */
class SlideTitle {
  /**
   * @param {Panes} panes
   * @param {number} index
   */
  constructor(panes, index) {
    this.panes = panes;
    this.index = index;
    this.pane = panes.panes[index];
    this.slide = panes.session.slides[index];
    this.likeness = new Likeness(panes);
    this.shower = button("Show", () => panes.blink(), { title: "Show this one (x)", class: "shower" });
  }

  write() {
    if (!this.pane.isShown) return;
    const likeness = sourceOf(this.panes.session, this.slide) ? [this.likeness.element] : [];
    const facts = make("p", { class: "facts" }, ...this.#facts(), ...likeness);
    this.pane.title.replaceChildren(this.#name(), facts, this.shower);
    this.mark();
  }

  /** Say which of two stacked pictures is up. */
  mark() {
    const isUp = this.panes.view !== "blink" || !this.pane.element.classList.contains("under");
    this.pane.title.classList.toggle("down", !isUp);
    this.shower.hidden = isUp;
  }

  async measure() {
    const source = sourceOf(this.panes.session, this.slide);
    if (this.pane.isShown && source && this.panes.place) await this.likeness.measure(source, this.slide);
  }

  #name() {
    const { slides } = this.panes.session;
    const { view, first, second } = this.panes;
    const isFixed = view === "side" || slides.length < (view === "single" ? 2 : 3);
    if (isFixed) return make("h2", { title: this.slide.name }, this.slide.title);
    const choices = slides.map((slide, index) => ({ value: String(index), text: slide.title }));
    const label = view === "single" ? "Slide" : this.index === first ? "First slide" : "Second slide";
    return chooser(label, choices, String(this.index), (value) => {
      const chosen = Number(value);
      if (this.index === first) this.panes.choose(chosen, second);
      else this.panes.choose(first, chosen);
      this.panes.panes[chosen].title.querySelector("select")?.focus();
    });
  }

  #facts() {
    const { bytes, saved, doubt, codec, role, icc } = this.slide;
    const facts = [];
    if (role === "source" && this.index === 0) facts.push(make("span", { class: "fact" }, "source"));
    if (codec) facts.push(make("span", { class: "fact wide" }, codec));
    if (bytes !== null) facts.push(make("span", { class: "fact" }, bytesText(bytes)));
    if (saved !== null) facts.push(make("span", { class: saved < 0 ? "fact larger" : "fact saved" }, savedText(saved)));
    if (doubt) facts.push(make("span", { class: "fact doubt" }, doubt));
    if (icc) facts.push(make("span", { class: "fact" }, this.panes.icc ? "ICC applied" : "ICC not applied"));
    return facts;
  }
}

/** The title of the difference: of which two, how much amplified. */
class DifferenceTitle {
  /** @param {Panes} panes */
  constructor(panes) {
    this.panes = panes;
    this.pane = panes.difference;
    this.likeness = new Likeness(panes);
    this.slider = make("input", { type: "range", min: 0, max: 5, step: 1, "aria-label": "Amplification" });
    this.factor = make("output");
    this.slider.addEventListener("input", () => panes.setAmplification(2 ** Number(this.slider.value)));
    const dial = make("label", { class: "dial" }, "amplified", this.slider, this.factor);
    this.names = make("div", { class: "names" });
    this.pane.title.append(this.names, make("p", { class: "facts" }, dial, this.likeness.element));
  }

  writeFactor() {
    const { amplification } = this.panes;
    this.slider.value = String(Math.round(Math.log2(amplification)));
    this.slider.setAttribute("aria-valuetext", `${amplification} times`);
    this.factor.textContent = `${amplification}x`;
  }

  write() {
    if (!this.pane.isShown) return;
    const { session, first, second } = this.panes;
    const { slides } = session;
    if (slides.length < 3) {
      this.names.replaceChildren(make("h2", {}, `Difference of ${slides[first].title} and ${slides[second].title}`));
      return;
    }
    this.names.replaceChildren(
      make("h2", {}, "Difference of"),
      this.#chooser("First slide", first, (index) => this.panes.choose(index, this.panes.second)),
      "and",
      this.#chooser("Second slide", second, (index) => this.panes.choose(this.panes.first, index)),
    );
  }

  /**
   * @param {string} label
   * @param {number} chosen
   * @param {(index: number) => void} onChoice
   */
  #chooser(label, chosen, onChoice) {
    const choices = this.panes.session.slides.map((slide, index) => ({ value: String(index), text: slide.title }));
    return chooser(label, choices, String(chosen), (value) => {
      onChoice(Number(value));
      const again = /** @type {HTMLElement | null} */ (this.names.querySelector(`[aria-label="${label}"]`));
      again?.focus();
    });
  }

  async measure() {
    const { session, first, second, place } = this.panes;
    if (this.pane.isShown && place) await this.likeness.measure(session.slides[first], session.slides[second]);
  }
}

/**
 * Return a region of the first slide in the level-0 pixels of another.
 * @param {Slide} slide
 * @param {import("./session.js").Region & {px: number}} region
 */
function inPixelsOf({ scale, width, height }, region) {
  const x = Math.min(Math.floor(region.x / scale), width - 1);
  const y = Math.min(Math.floor(region.y / scale), height - 1);
  return {
    x,
    y,
    width: Math.max(1, Math.min(Math.ceil(region.width / scale), width - x)),
    height: Math.max(1, Math.min(Math.ceil(region.height / scale), height - y)),
    px: region.px,
  };
}
