/**
 * Shapes from files and into files: a file input, files that are dropped on the page, annotations that the server
 * was given, and a download. Nothing is sent anywhere.
 */

import { button, make } from "./dom.js";
import {
  GeoJsonError,
  MOST_BYTES,
  crossesItself,
  exportText,
  importContent,
  importText,
  megabytes,
} from "./geojson.js";
import { say, sayError } from "./messages.js";
import { askJson } from "./server.js";

/** @typedef {import("./drawn_shapes.js").DrawnShapes} DrawnShapes */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./rings.js").Size} Size */

/**
 * Return the name of the file in which the regions of a slide are saved.
 * @param {string} slide the slide's file name
 */
export function regionsName(slide) {
  return `${slide.replace(/\.[^.]+$/, "") || "slide"}.regions.geojson`;
}

/**
 * Return the row that imports and exports.
 * @param {Session} session
 * @param {DrawnShapes} drawing
 */
export function filesRow(session, drawing) {
  const slide = session.slides[0];
  const input = make("input", { type: "file", accept: ".geojson,.json,application/geo+json", multiple: true });
  const choose = make("label", { class: "file" }, "Import GeoJSON ", input);
  input.addEventListener("change", async () => {
    await importFiles([...(input.files ?? [])], drawing, slide);
    input.value = "";
  });
  takeDropped(drawing, slide);
  const title = `Saves ${regionsName(slide.name)} where the browser saves files`;
  const save = button("Save as GeoJSON", () => download(drawing, slide.name), { class: "main", title });
  const update = () => {
    save.disabled = !drawing.shapes.length;
  };
  drawing.addEventListener("change", update);
  update();
  const taken = session.annotations.map(({ id, name }) =>
    button(`Take over ${name}`, () => void takeOver(id, name, drawing, slide)),
  );
  const hint = make(
    "p",
    { class: "note" },
    `GeoJSON as QuPath has it, up to ${megabytes(MOST_BYTES)}; or drop files on the page.`,
  );
  return make("div", { class: "files" }, choose, hint, ...taken, save);
}

/**
 * Add the shapes of files to the drawing, and say what came of it.
 * @param {readonly File[]} files
 * @param {DrawnShapes} drawing
 * @param {Size} size of the slide
 */
async function importFiles(files, drawing, size) {
  for (const file of files) {
    try {
      if (file.size > MOST_BYTES) {
        const found = `${megabytes(file.size)}, expected at most ${megabytes(MOST_BYTES)}`;
        throw new GeoJsonError(`${found}; simplify the outlines, or give it on the command line (--annotations)`);
      }
      addImported(importText(await file.text(), size), file.name, drawing);
    } catch (error) {
      sayError(new Error(`${file.name}: ${error instanceof Error ? error.message : error}`));
    }
  }
}

/**
 * Add annotations to the drawing that the server was given.
 * @param {number} id
 * @param {string} name
 * @param {DrawnShapes} drawing
 * @param {Size} size of the slide
 */
async function takeOver(id, name, drawing, size) {
  try {
    addImported(importContent(await askJson(`annotations/${id}`), size), name, drawing);
  } catch (error) {
    sayError(error);
  }
}

/**
 * @param {import("./geojson.js").Imported} imported
 * @param {string} name
 * @param {DrawnShapes} drawing
 */
function addImported({ shapes, notes }, name, drawing) {
  drawing.add(shapes);
  const count = shapes.length === 1 ? "1 shape" : `${shapes.length} shapes`;
  say([`${name}: ${count} imported`, ...notes].join("; "));
}

/**
 * Import files that are dropped anywhere on the page.
 * @param {DrawnShapes} drawing
 * @param {Size} size of the slide
 */
function takeDropped(drawing, size) {
  /** @param {DragEvent} event */
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files") ?? false;
  const mark = (/** @type {boolean} */ isOver) => document.body.classList.toggle("dropping", isOver);
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false);
  });
  addEventListener("drop", (event) => {
    mark(false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    void importFiles([...(event.dataTransfer?.files ?? [])], drawing, size);
  });
}

/**
 * Save the drawing where the browser saves files.
 * @param {DrawnShapes} drawing
 * @param {string} slide the slide's file name
 */
function download(drawing, slide) {
  const address = URL.createObjectURL(new Blob([exportText(drawing.shapes)], { type: "application/geo+json" }));
  make("a", { href: address, download: regionsName(slide) }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
  const crossed = drawing.shapes.filter(crossesItself).length;
  const warning = crossed ? `; ${crossed} of them cross themselves, which --roi and --mask read differently` : "";
  say(`${drawing.shapes.length} ${drawing.shapes.length === 1 ? "shape" : "shapes"} saved as ${regionsName(slide)}${warning}.`);
}
