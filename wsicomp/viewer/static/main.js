/**
 * Starts the page: asks which slides are open, and builds the panes, the panel and the controls.
 */

import { buildControls } from "./controls.js";
import { startCurtain } from "./curtain.js";
import { byId } from "./dom.js";
import { startDrawing } from "./drawing.js";
import { DRAWING_KEYS } from "./drawing_keys.js";
import { ENTRY_KEYS, showNothing, startEntryBar } from "./entry_bar.js";
import { startFolder } from "./folder.js";
import { startCross, startMinimap, startProgress, startScaleBar } from "./furniture.js";
import { startKeyboard } from "./keyboard.js";
import { startLayers } from "./layers_panel.js";
import { sayError, watchServer } from "./messages.js";
import { Panes } from "./panes.js";
import { parsePlace, startPlace } from "./place.js";
import { PLAYGROUND_KEYS, startPlayground } from "./playground.js";
import { askJson } from "./server.js";
import { buildTabs } from "./shell.js";
import { startTitles } from "./titles.js";

/** @typedef {import("./session.js").Session} Session */

async function start() {
  const entry = new URLSearchParams(location.search).get("entry");
  /** @type {Session} */
  const session = await askJson(`session.json${location.search}`);
  const stage = byId("stage");
  byId("title").textContent = session.title;
  document.title = `${session.title} \u2013 wsicomp`;
  byId("loading").remove();
  if (session.folder && entry === null) return startFolder(session, stage);
  if (session.entry) startEntryBar(session.entry, Boolean(session.results));
  if (session.slides.length === 0) return showNothing(stage);
  const panes = new Panes(stage, session);
  const panels = buildTabs();
  const togglePanel = () => {
    const isClosed = document.body.classList.toggle("panel-closed");
    byId("panel-switch").setAttribute("aria-expanded", String(!isClosed));
  };
  const { help } = startKeyboard(panes, { togglePanel }, [...DRAWING_KEYS, ...PLAYGROUND_KEYS, ...(session.entry ? ENTRY_KEYS : [])]);
  buildControls(panes, { help, togglePanel });
  startTitles(panes);
  startCurtain(panes);
  startScaleBar(panes);
  startMinimap(panes);
  startCross(panes);
  startProgress(panes);
  watchServer(() => panes.reload());
  startLayers(panes, panels.layers);
  startDrawing(panes, session, panels.draw);
  startPlayground(panes, session, panels.codecs);
  if (new URLSearchParams(location.search).has("codec")) panels.open("codecs");
  panes.start(parsePlace(location.hash));
  startPlace(panes);
  Object.assign(window, { wsicomp: { panes, session, ready: panes.whenLoaded() } });
}

start().catch((error) => {
  byId("loading").textContent = String(error.message);
  sayError(error);
});
