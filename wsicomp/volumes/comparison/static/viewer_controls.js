/**
 * The viewer's controls: lists, sliders, dragging and keys.
 */

import { AMPLIFICATIONS, part } from "./volume_viewer.js";

/** @typedef {import("./volume_viewer.js").VolumeViewer} VolumeViewer */

/**
 * Connect the page's controls.
 * @param {VolumeViewer} viewer
 */
export function startControls(viewer) {
  const lists = {
    volume: part("choose-volume", HTMLSelectElement),
    candidate: part("choose-candidate", HTMLSelectElement),
    window: part("choose-window", HTMLSelectElement),
    amplification: part("choose-amplification", HTMLSelectElement),
  };
  const slice = part("choose-slice", HTMLInputElement);
  const level = part("window-level", HTMLInputElement);
  const width = part("window-width", HTMLInputElement);
  const outline = part("show-outline", HTMLInputElement);
  const { volumes } = viewer.store;
  lists.volume.replaceChildren(...volumes.map(({ name }, number) => new Option(name, String(number))));
  lists.volume.addEventListener("change", () => viewer.chooseVolume(Number(lists.volume.value)));
  lists.candidate.addEventListener("change", () => viewer.chooseCandidate(Number(lists.candidate.value)));
  lists.window.addEventListener("change", () => chooseWindow(viewer, Number(lists.window.value)));
  lists.amplification.addEventListener("change", () => viewer.setAmplification(Number(lists.amplification.value)));
  slice.addEventListener("input", () => viewer.chooseSlice(Number(slice.value)));
  for (const each of [level, width]) {
    each.addEventListener("change", () => viewer.setWindow(level.valueAsNumber, width.valueAsNumber));
  }
  outline.addEventListener("change", () => viewer.showOutline(outline.checked));
  let filled = -1;
  viewer.onChange = () => {
    const { volume, volumeNumber } = viewer;
    if (filled !== volumeNumber) {
      filled = volumeNumber;
      slice.max = String(volume.slices.length - 1);
      lists.candidate.replaceChildren(...volume.candidates.map(candidateOption));
      lists.window.replaceChildren(...volume.windows.map(({ name }, number) => new Option(name, String(number))));
      lists.window.append(new Option("Own", "-1"));
    }
    lists.volume.value = String(volumeNumber);
    lists.candidate.value = String(viewer.candidate);
    lists.window.value = String(windowNumber(viewer));
    lists.amplification.value = String(viewer.amplification);
    slice.value = String(viewer.place);
    slice.setAttribute("aria-valuetext", `slice ${volume.slices[viewer.place] + 1} of ${volume.sliceCount}`);
    level.value = String(Number(viewer.window.level.toPrecision(6)));
    width.value = String(Number(viewer.window.width.toPrecision(6)));
    outline.checked = viewer.showsOutline;
  };
  for (const pane of viewer.panes) startPane(viewer, pane);
  startKeys(viewer);
}

/**
 * @param {{label: string, reason: string}} candidate
 * @param {number} number
 */
function candidateOption({ label, reason }, number) {
  const option = new Option(reason ? `${label} (no file)` : label, String(number));
  option.disabled = Boolean(reason);
  return option;
}

/** @param {VolumeViewer} viewer */
function windowNumber({ volume, window }) {
  return volume.windows.findIndex(({ level, width }) => level === window.level && width === window.width);
}

/**
 * @param {VolumeViewer} viewer
 * @param {number} number
 */
function chooseWindow(viewer, number) {
  const found = viewer.volume.windows[number];
  if (found) viewer.setWindow(found.level, found.width);
}

/**
 * Dragging to the right widens the window, dragging up raises its level; pointing tells the voxel.
 * @param {VolumeViewer} viewer
 * @param {HTMLElement} pane
 */
function startPane(viewer, pane) {
  const readout = part("readout", HTMLElement);
  pane.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pane.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  pane.addEventListener("pointermove", (event) => {
    const { volume, window } = viewer;
    if (pane.hasPointerCapture(event.pointerId)) {
      const whole = volume.windows[volume.windows.length - 1].width;
      const step = Math.max(Math.abs(volume.step), Math.min(whole, 4 * window.width) / 400);
      viewer.setWindow(
        window.level - event.movementY * step,
        Math.max(Math.abs(volume.step), window.width + event.movementX * step),
      );
    }
    const box = pane.getBoundingClientRect();
    const column = Math.floor(((event.clientX - box.left) / box.width) * volume.columns);
    const row = Math.floor(((event.clientY - box.top) / box.height) * volume.rows);
    const isInside = column >= 0 && row >= 0 && column < volume.columns && row < volume.rows;
    readout.textContent = isInside ? viewer.told(column, row) : "";
  });
  pane.addEventListener("pointerleave", () => (readout.textContent = ""));
}

/** @param {VolumeViewer} viewer */
function startKeys(viewer) {
  /** @type {Record<string, () => void>} */
  const keys = {
    ArrowLeft: () => viewer.chooseSlice(viewer.place - 1),
    ArrowRight: () => viewer.chooseSlice(viewer.place + 1),
    n: () => nextCandidate(viewer, 1),
    p: () => nextCandidate(viewer, -1),
    v: () => viewer.chooseVolume((viewer.volumeNumber + 1) % viewer.store.volumes.length),
    w: () => chooseWindow(viewer, (windowNumber(viewer) + 1) % viewer.volume.windows.length),
    "[": () => amplify(viewer, -1),
    "]": () => amplify(viewer, 1),
    o: () => viewer.showOutline(!viewer.showsOutline),
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || takesKeys(event.target, event.key)) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

/**
 * @param {EventTarget | null} target
 * @param {string} key
 */
function takesKeys(target, key) {
  if (!(target instanceof HTMLElement)) return false;
  return target.matches("select, input[type=number]") || (key.startsWith("Arrow") && target.matches("input"));
}

/**
 * @param {VolumeViewer} viewer
 * @param {number} step
 */
function nextCandidate(viewer, step) {
  const tried = viewer.volume.candidates;
  let next = viewer.candidate;
  do next = (next + step + tried.length) % tried.length;
  while (tried[next].reason && next !== viewer.candidate);
  viewer.chooseCandidate(next);
}

/**
 * @param {VolumeViewer} viewer
 * @param {number} step
 */
function amplify(viewer, step) {
  const next = AMPLIFICATIONS[AMPLIFICATIONS.indexOf(viewer.amplification) + step];
  if (next) viewer.setAmplification(next);
}
