/**
 * The choice of a codec and its quality, as the server offers them.
 */

import { button, make, whenSeen } from "./dom.js";
import { askJson } from "./server.js";

/**
 * @typedef {object} Dial
 * @property {string} option the name of the option that sets the quality
 * @property {number} least
 * @property {number} most
 * @property {number} default
 * @property {boolean} integer
 * @property {boolean} high_is_fine
 * @property {string} unit
 */
/**
 * @typedef {object} Codec
 * @property {string} name
 * @property {string} title
 * @property {Dial | null} dial
 * @property {boolean} lossless
 * @property {boolean} available
 * @property {string} reason why it is not available
 */

const STEPS = [1, 0.5, 0.1, 0.05, 0.01];

/** @type {Promise<Codec[]> | null} */
let asked = null;

/** Return the codecs that the server knows, those too that are not installed. */
function askCodecs() {
  asked ??= askJson("playground.json").then((answer) => /** @type {Codec[]} */ (answer.codecs));
  // A server that did not answer may do so the next time.
  asked.catch(() => (asked = null));
  return asked;
}

/**
 * Fill an element with what needs the codecs, as soon as it is seen.
 * @param {HTMLElement} element
 * @param {(codecs: Codec[]) => Node[]} build
 */
export function fillWithCodecs(element, build) {
  const fill = async () => {
    element.replaceChildren(make("p", { class: "note" }, "Asking which codecs there are …"));
    try {
      const codecs = await askCodecs();
      const hasAny = codecs.some(({ available }) => available);
      const parts = hasAny ? build(codecs) : [make("p", { class: "note" }, "No codec can be tried here.")];
      element.replaceChildren(...parts, ...absentCodecs(codecs));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      element.replaceChildren(
        make("p", { class: "note" }, `The codecs are not known: ${reason}`),
        button("Ask again", fill),
      );
    }
  };
  whenSeen(element, () => void fill());
  element.append(make("p", { class: "note" }, "…"));
}

/** A list of codecs with a slider of quality. It sends `input` when either is moved. */
export class CodecFields extends EventTarget {
  /**
   * @param {readonly Codec[]} codecs at least one of them available
   * @param {string} start the codec that is chosen at first, if it is available
   */
  constructor(codecs, start) {
    super();
    this.codecs = codecs;
    this.list = make("select", {});
    for (const { name, title, available } of codecs) {
      this.list.append(
        make("option", { value: name, disabled: !available }, available ? title : `${title}: not available here`),
      );
    }
    const first =
      codecs.find(({ name, available }) => available && name === start) ?? codecs.find((each) => each.available);
    this.list.value = first?.name ?? "";
    this.slider = make("input", { type: "range" });
    this.value = make("output", {});
    this.dialName = make("span", {});
    this.dialLabel = make("label", { class: "quality" }, this.dialName, this.slider);
    this.remark = make("p", { class: "note" });
    this.element = make(
      "div",
      { class: "codec" },
      make("label", {}, "Codec ", this.list),
      this.dialLabel,
      this.value,
      this.remark,
    );
    /** @type {Map<string, number>} the value at which each codec's slider was left */
    this.values = new Map();
    this.list.addEventListener("change", () => this.#send(() => this.#fit()));
    this.slider.addEventListener("input", () => this.#send(() => this.#keep()));
    this.#fit();
  }

  /** The chosen codec, null if none is available. */
  get codec() {
    return this.codecs.find(({ name }) => name === this.list.value) ?? null;
  }

  /** The codec with its quality as commands take it, such as "jpeg:60". */
  get text() {
    return this.codec ? codecText(this.codec, this.slider.valueAsNumber) : "";
  }

  /** The codec with its quality in words, such as "JPEG q60". */
  get words() {
    const { title = "", dial = null } = this.codec ?? {};
    if (!dial) return title;
    const value = numberText(this.slider.valueAsNumber, dial);
    return dial.option === "quality" ? `${title} q${value}` : `${title}, ${dialWords(dial)} ${value}`;
  }

  /**
   * Choose a codec and its quality.
   * @param {string} text such as "jpeg:60"
   */
  choose(text) {
    const codec =
      this.codecs.find(({ name }) => name === text) ?? this.codecs.find(({ name }) => text.startsWith(`${name}:`));
    if (!codec) return;
    this.list.value = codec.name;
    if (codec.dial) this.values.set(codec.name, Number.parseFloat(text.slice(codec.name.length + 1)));
    this.#send(() => this.#fit());
  }

  /** Give the slider the range of the chosen codec. */
  #fit() {
    const { dial = null, lossless = false } = this.codec ?? {};
    this.dialLabel.hidden = this.value.hidden = !dial;
    this.remark.textContent = dial ? finenessWords(dial) : lossless ? "Every pixel stays as it is." : "";
    this.remark.hidden = !this.remark.textContent;
    if (!dial) return;
    this.dialName.textContent = `${dialWords(dial)} `;
    Object.assign(this.slider, { min: dial.least, max: dial.most, step: stepOf(dial) });
    this.slider.value = String(this.values.get(this.list.value) ?? dial.default);
    this.#keep();
  }

  #keep() {
    const dial = this.codec?.dial;
    if (!dial) return;
    this.values.set(this.list.value, this.slider.valueAsNumber);
    this.value.value = numberText(this.slider.valueAsNumber, dial);
    this.slider.setAttribute("aria-valuetext", this.words);
  }

  /** @param {() => void} change */
  #send(change) {
    change();
    this.dispatchEvent(new Event("input"));
  }
}

/**
 * Return the step of a slider: such that it can stand at its least value and at its default.
 * @param {Dial} dial
 */
function stepOf({ integer, least, most, default: start }) {
  if (integer) return 1;
  /** @param {number} value @param {number} step */
  const isMultiple = (value, step) => Math.abs(value / step - Math.round(value / step)) < 1e-6;
  const fits = STEPS.filter(
    (step) => step <= (most - least) / 100 && isMultiple(least, step) && isMultiple(start, step),
  );
  return fits[0] ?? STEPS[STEPS.length - 1];
}

/**
 * @param {Codec} codec
 * @param {number} value
 */
function codecText({ name, dial }, value) {
  return dial ? `${name}:${numberText(value, { ...dial, unit: "" })}` : name;
}

/** @param {Dial} dial */
function finenessWords(dial) {
  return dial.high_is_fine ? "" : `A lower ${dialWords(dial)} is finer.`;
}

/** @param {Dial} dial */
function dialWords({ option }) {
  return option.replaceAll("_", " ");
}

/**
 * @param {number} value
 * @param {Dial} dial
 */
function numberText(value, dial) {
  const digits = dial.integer ? 0 : (String(stepOf(dial)).split(".")[1] ?? "").length;
  return `${value.toFixed(digits)}${dial.unit ? ` ${dial.unit}` : ""}`;
}

/**
 * Return what is said of the codecs that cannot be chosen, with the reasons.
 * @param {readonly Codec[]} codecs
 */
function absentCodecs(codecs) {
  const absent = codecs.filter(({ available }) => !available);
  if (!absent.length) return [];
  const items = absent.map(({ title, reason }) => make("li", {}, `${title}: ${reason}`));
  const summary = make("summary", {}, "Codecs that are not available here");
  return [make("details", { class: "absent" }, summary, make("ul", {}, ...items))];
}
