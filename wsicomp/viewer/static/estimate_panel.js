/**
 * What a conversion would weigh that keeps the drawn regions exact and the rest coarse, and the commands that make it.
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
/**
 * @typedef {object} Estimate what the server answers
 * @property {number} bytes
 * @property {number} low
 * @property {number} high
 * @property {number} source_bytes
 * @property {number} saved fraction of the source
 * @property {{name: string, tiles: number}[]} regions
 * @property {string} command
 * @property {string} [mask_command]
 * @property {string[]} notes
 */

const GLASS = [
  { value: "keep", text: "kept as it is" },
  { value: "blank", text: "blank, in its own colour" },
  { value: "white", text: "blank, in white" },
];
const START = "jpeg";

/**
 * Return the form that asks for an estimate, and its answer; where none can be made, the reason.
 * @param {Session} session
 * @param {DrawnShapes} drawing
 */
export function estimateForm(session, drawing) {
  if (!session.features.estimate)
    return make("p", { class: "note" }, "Not for these slides: there is no source to convert.");
  const form = make("div", { class: "estimate" });
  fillWithCodecs(form, (codecs) => estimateParts(session, drawing, codecs));
  return form;
}

/**
 * @param {Session} session
 * @param {DrawnShapes} drawing
 * @param {import("./codec_fields.js").Codec[]} codecs
 */
function estimateParts(session, drawing, codecs) {
  const slide = session.slides[0];
  const fields = new CodecFields(codecs, START);
  const glass = make("select", {}, ...GLASS.map(({ value, text }) => make("option", { value }, text)));
  glass.value = "white";
  const result = make("div", { class: "result", "aria-live": "polite" });
  /** @type {AbortController | null} */
  let underWay = null;
  const forget = () => {
    underWay?.abort();
    result.replaceChildren();
    ask.disabled = !drawing.shapes.length || !fields.codec;
  };
  const ask = button("Estimate", async () => {
    const values = {
      slide: slide.id,
      geojson: featureCollection(drawing.shapes),
      codec: fields.text,
      glass: glass.value,
    };
    const body = JSON.stringify(values);
    if (byteCount(body) > MOST_BYTES) {
      return say(
        `The drawing takes ${megabytes(byteCount(body))}, an estimate at most ${megabytes(MOST_BYTES)}: simplify it.`,
      );
    }
    underWay?.abort();
    underWay = new AbortController();
    const { signal } = underWay;
    ask.disabled = true;
    result.replaceChildren(make("p", {}, "Estimating …"));
    try {
      const headers = { "Content-Type": "application/json" };
      const answer = await askJson("estimate", { method: "POST", headers, body, signal });
      result.replaceChildren(...estimateWords(answer, regionsName(slide.name)));
    } catch (error) {
      if (!signal.aborted) result.replaceChildren();
      sayError(error);
    } finally {
      if (!signal.aborted) ask.disabled = false;
    }
  });
  fields.addEventListener("input", forget);
  glass.addEventListener("change", forget);
  let asked = drawing.shapes;
  drawing.addEventListener("change", () => {
    if (asked !== drawing.shapes) forget();
    asked = drawing.shapes;
  });
  forget();
  const intro = "The regions are kept exactly; the other tissue is stored by:";
  return [make("p", { class: "note" }, intro), fields.element, make("label", {}, "Glass ", glass), ask, result];
}

/**
 * @param {Estimate} estimate
 * @param {string} file the name of the file of regions
 */
function estimateWords(estimate, file) {
  const {
    bytes,
    low,
    high,
    source_bytes: source,
    saved,
    regions,
    command,
    mask_command: maskCommand,
    notes,
  } = estimate;
  const range = low === high ? "" : ` (${bytesText(low)} to ${bytesText(high)})`;
  const rows = regions.map(({ name, tiles }) =>
    make("tr", {}, make("th", { scope: "row" }, name || "region"), make("td", {}, tiles.toLocaleString("en"))),
  );
  const head = make("tr", {}, make("th", { scope: "col" }, "Region"), make("th", { scope: "col" }, "Tiles kept"));
  return [
    make(
      "p",
      {},
      make("strong", {}, `about ${bytesText(bytes)}`),
      `${range} instead of ${bytesText(source)}: ${savedText(saved)}`,
    ),
    make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)),
    ...notes.map((note) => make("p", { class: "note" }, note)),
    make("p", {}, `The page and its server write nothing: save the shapes first, as ${file}. Then, where it lies:`),
    commandRow("Regions exact, the rest coarse", command),
    ...(maskCommand ? [commandRow("The shapes as all the tissue there is", maskCommand)] : []),
  ];
}

/**
 * Return a command with a button that copies it.
 * @param {string} title
 * @param {string} command
 */
function commandRow(title, command) {
  const code = make("code", { tabindex: 0 }, command);
  const copy = button(
    "Copy",
    async () => {
      try {
        await navigator.clipboard.writeText(command);
        say("The command is copied.");
      } catch {
        getSelection()?.selectAllChildren(code);
        say("The browser does not let the page copy: the command is selected, press Ctrl+C.");
      }
    },
    { "aria-label": `Copy the command: ${title}` },
  );
  return make("div", { class: "command" }, make("p", {}, title), code, copy);
}
