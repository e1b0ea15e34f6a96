/**
 * What a conversion would weigh that keeps what is drawn, and the command that makes it. The server writes nothing.
 */

import { CodecFields, fillWithCodecs } from "./codec_fields.js";
import { button, make } from "./dom.js";
import { regionsName } from "./drawing_files.js";
import { MOST_BYTES, byteCount, featureCollection, megabytes } from "./geojson.js";
import { bytesText, savedText } from "./measures.js";
import { say, sayError } from "./messages.js";
import { askJson } from "./server.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./drawn_shapes.js").DrawnShapes} DrawnShapes */
/** @typedef {import("./codec_fields.js").Codec} Codec */
/**
 * @typedef {object} Estimate what the server answers
 * @property {number} bytes
 * @property {number} low
 * @property {number} high
 * @property {number} source_bytes
 * @property {number} saved fraction of the source
 * @property {{name: string, tiles: number}[]} [regions] of regions: the tiles that each class keeps
 * @property {number} [kept_tiles] of a mask: the tiles that stay
 * @property {number} [all_tiles] of a mask
 * @property {number} [rescued_tiles] of a mask: those that stay although they are not drawn
 * @property {string} command
 * @property {string[]} notes
 */

const USES = [
  { value: "regions", text: "kept, the rest coarse (--roi)" },
  { value: "mask", text: "all the tissue (--mask)" },
];
const GLASS = [
  { value: "blank", text: "blank, in its own colour" },
  { value: "white", text: "blank, in white" },
  { value: "empty", text: "tiles without bytes" },
  { value: "keep", text: "kept as it is" },
];
/** @type {Codec} */
const AUTO = { name: "auto", title: "chosen by wsicomp", dial: null, lossless: false, available: true, reason: "" };

/**
 * Return the form that asks for an estimate, and its answer; where none can be made, the reason.
 * @param {Session} session
 * @param {DrawnShapes} drawing
 */
export function estimateForm(session, drawing) {
  if (!session.features.estimate) {
    return make("p", { class: "note" }, "Not for these slides: there is no source to convert.");
  }
  const form = make("div", { class: "estimate" });
  fillWithCodecs(form, (codecs) => new EstimateForm(session, drawing, codecs).parts);
  return form;
}

/** What is asked for, and the answer; any change of what is asked for takes the answer away. */
class EstimateForm {
  /**
   * @param {Session} session
   * @param {DrawnShapes} drawing
   * @param {Codec[]} codecs
   */
  constructor(session, drawing, codecs) {
    this.slide = session.slides[0];
    this.drawing = drawing;
    this.use = selectOf(USES);
    this.codec = new CodecFields([AUTO, ...codecs], AUTO.name);
    this.glass = selectOf(GLASS);
    this.button = button("Estimate", () => void this.#ask());
    this.result = make("div", { class: "result", "aria-live": "polite" });
    /** @type {AbortController | null} */
    this.underWay = null;
    this.shapes = drawing.shapes;
    for (const each of [this.use, this.glass]) each.addEventListener("change", () => this.#forget());
    this.codec.addEventListener("input", () => this.#forget());
    drawing.addEventListener("change", () => {
      if (drawing.shapes !== this.shapes) this.#forget();
      this.shapes = drawing.shapes;
    });
    this.#forget();
  }

  /** What the panel shows. */
  get parts() {
    return [
      make("label", {}, "Shapes ", this.use),
      this.codec.element,
      make("label", {}, "Glass ", this.glass),
      this.button,
      this.result,
    ];
  }

  #forget() {
    this.underWay?.abort();
    this.result.replaceChildren();
    this.button.disabled = !this.drawing.shapes.length;
  }

  async #ask() {
    const body = JSON.stringify({
      slide: this.slide.id,
      geojson: featureCollection(this.drawing.shapes),
      use: this.use.value,
      codec: this.codec.text,
      glass: this.glass.value,
    });
    const bytes = byteCount(body);
    if (bytes > MOST_BYTES) {
      say(`The drawing takes ${megabytes(bytes)}, an estimate at most ${megabytes(MOST_BYTES)}: simplify it.`);
      return;
    }
    this.#forget();
    const { signal } = (this.underWay = new AbortController());
    this.button.disabled = true;
    this.result.replaceChildren(make("p", {}, "Estimating …"));
    try {
      const headers = { "Content-Type": "application/json" };
      const answer = await askJson("estimate", { method: "POST", headers, body, signal });
      this.result.replaceChildren(...estimateWords(answer, regionsName(this.slide.name)));
    } catch (error) {
      if (signal.aborted) return;
      this.result.replaceChildren(make("p", {}, error instanceof Error ? error.message : String(error)));
      sayError(error);
    } finally {
      if (!signal.aborted) this.button.disabled = false;
    }
  }
}

/** @param {{value: string, text: string}[]} choices */
function selectOf(choices) {
  return make("select", {}, ...choices.map(({ value, text }) => make("option", { value }, text)));
}

/**
 * @param {Estimate} estimate
 * @param {string} file the name of the file in which the shapes are saved
 */
function estimateWords(estimate, file) {
  const { bytes, low, high, source_bytes: source, saved, command, notes } = estimate;
  const size = make("strong", {}, `about ${bytesText(bytes)}`);
  const range = low === high ? "" : ` (${bytesText(low)} to ${bytesText(high)})`;
  return [
    make("p", {}, size, `${range} instead of ${bytesText(source)}: ${savedText(saved)}`),
    ...tileWords(estimate),
    ...notes.map((note) => make("p", { class: "note" }, note)),
    make("p", {}, `Nothing is written here: save the shapes as GeoJSON, as ${file}. Then, beside slide and file:`),
    commandRow(command),
  ];
}

/** @param {Estimate} estimate */
function tileWords({ regions, kept_tiles: kept, all_tiles: all, rescued_tiles: rescued }) {
  /** @param {number} count */
  const written = (count) => count.toLocaleString("en");
  if (regions) {
    const head = make("tr", {}, make("th", { scope: "col" }, "Class"), make("th", { scope: "col" }, "Tiles kept"));
    const rows = regions.map(({ name, tiles }) =>
      make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, written(tiles))),
    );
    return [make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))];
  }
  if (kept === undefined || all === undefined) return [];
  const guarded = rescued ? `, ${written(rescued)} of them not drawn, but not bare glass either` : "";
  return [make("p", {}, `${written(kept)} of ${written(all)} tiles stay${guarded}.`)];
}

/**
 * Return a command with a button that copies it.
 * @param {string} command
 */
function commandRow(command) {
  const code = make("code", { tabindex: 0 }, command);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(command);
      say("The command is copied.");
    } catch {
      getSelection()?.selectAllChildren(code);
      say("The browser does not let the page copy: the command is selected, press Ctrl+C.");
    }
  };
  return make(
    "div",
    { class: "command" },
    code,
    button("Copy", () => void copy(), { "aria-label": "Copy the command" }),
  );
}
