/**
 * Starts the page: its tables, and the viewer of slices.
 */

import { SliceStore } from "./slice_store.js";
import { startSorting } from "./table_sort.js";
import { startControls } from "./viewer_controls.js";
import { VolumeViewer, part } from "./volume_viewer.js";

const volumes = JSON.parse(part("volumes", HTMLScriptElement).textContent ?? "[]");
const wsicompVolumes = new SliceStore(volumes);
Object.assign(globalThis, { wsicompVolumes });
startSorting();
if (volumes.length) {
  const viewer = new VolumeViewer(wsicompVolumes);
  Object.assign(globalThis, { wsicompViewer: viewer });
  startControls(viewer);
  viewer.chooseVolume(0);
}
