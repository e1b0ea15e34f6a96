/**
 * Asks the viewer's server, and notices when it has gone. Every address is relative to the page's.
 */

/** Says `gone` when the server stops answering and `back` when it answers again. */
export const connection = new EventTarget();

const RETRY_MS = 2000;
let isGone = false;
let isProbing = false;

/** The server did not answer at all. */
export class ServerGoneError extends Error {
  constructor() {
    super("The viewer's server does not answer; was it stopped?");
  }
}

/**
 * Return the server's answer; its own message is the error's where it refuses.
 * @param {string} address relative to the page
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
export async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    reportGone();
    throw new ServerGoneError();
  }
  if (!response.ok) throw new Error(await refusal(response));
  return response;
}

/**
 * Return the server's answer, parsed.
 * @param {string} address relative to the page
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
export async function askJson(address, options) {
  return (await ask(address, options)).json();
}

/** Find out whether the server still answers: a picture that failed to load does not say why. */
export async function probe() {
  if (isGone || isProbing) return;
  isProbing = true;
  await ask("session.json").catch(() => undefined);
  isProbing = false;
}

/**
 * True where the failure is only that a newer question took the place of this one.
 * @param {unknown} error
 */
export function isAborted(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/** @param {Response} response */
async function refusal(response) {
  try {
    return String((await response.json()).error);
  } catch {
    return `The viewer's server refused (${response.status}).`;
  }
}

function reportGone() {
  if (isGone) return;
  isGone = true;
  connection.dispatchEvent(new Event("gone"));
  setTimeout(awaitReturn, RETRY_MS);
}

async function awaitReturn() {
  try {
    await fetch("session.json", { cache: "no-store" });
  } catch {
    setTimeout(awaitReturn, RETRY_MS);
    return;
  }
  isGone = false;
  connection.dispatchEvent(new Event("back"));
}
