/**
 * Starts the page: asks which slides are open, and builds the panes, the panel and the controls.
 */

import { byId } from "./dom.js";
import { startDrawing } from "./drawing.js";
import { startFolder } from "./folder.js";
import { sayError, watchServer } from "./messages.js";
import { Panes } from "./panes.js";
import { startPlayground } from "./playground.js";
import { askJson } from "./server.js";
import { buildTabs } from "./shell.js";

/** @typedef {import("./session.js").Session} Session */

async function start() {
  const entry = new URLSearchParams(location.search).get("entry");
  /** @type {Session} */
  const session = await askJson(entry === null ? "session.json" : `session.json?entry=${encodeURIComponent(entry)}`);
  const stage = byId("stage");
  document.title = byId("title").textContent = session.title;
  byId("loading").remove();
  if (session.folder && entry === null) return startFolder(session, stage);
  const panes = new Panes(stage, session);
  const panels = buildTabs();
  watchServer(() => panes.reload());
  startDrawing(panes, session, panels.draw);
  startPlayground(panes, session, panels.codecs);
  panes.start();
  Object.assign(window, { wsicomp: { panes, session, ready: panes.whenLoaded() } });
}

start().catch((error) => {
  byId("loading").textContent = String(error.message);
  sayError(error);
});
