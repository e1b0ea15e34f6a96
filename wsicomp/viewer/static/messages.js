/**
 * Says things to the person at the page: in words, for a while, and to screen readers too.
 */

import { byId } from "./dom.js";
import { connection, isAborted } from "./server.js";

const SHOWN_MS = 6000;
let timer = 0;

/**
 * Say something for a few seconds.
 * @param {string} text
 */
export function say(text) {
  const place = byId("messages");
  place.textContent = text;
  place.classList.add("shown");
  clearTimeout(timer);
  timer = window.setTimeout(() => place.classList.remove("shown"), SHOWN_MS);
}

/**
 * Say something to screen readers alone.
 * @param {string} text
 */
export function announce(text) {
  byId("spoken").textContent = text;
}

/**
 * Say what went wrong; a question that a newer one replaced is no failure.
 * @param {unknown} error
 */
export function sayError(error) {
  if (isAborted(error)) return;
  say(error instanceof Error ? error.message : String(error));
}

/**
 * Show a lasting notice while the server does not answer.
 * @param {() => void} onReturn
 */
export function watchServer(onReturn) {
  const notice = byId("gone");
  connection.addEventListener("gone", () => {
    notice.textContent = "The viewer's server does not answer; was it stopped? The page waits for it.";
    notice.hidden = false;
  });
  connection.addEventListener("back", () => {
    notice.hidden = true;
    say("The viewer's server answers again.");
    onReturn();
  });
}
