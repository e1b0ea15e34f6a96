/**
 * Makes elements of the page: text is always text, so no name of a file can be read as markup.
 */

/**
 * Return a new element.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | number | boolean>} [attributes] true is an empty attribute, false is none
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/**
 * Return an element that index.html must have.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no element "${id}"`);
  return element;
}

/**
 * Return a button with a text or a short sign and, where that is not enough, a name.
 * @param {string} text
 * @param {() => void} onClick
 * @param {Record<string, string | number | boolean>} [attributes]
 */
export function button(text, onClick, attributes = {}) {
  const element = make("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", onClick);
  return element;
}

/**
 * Return a list to choose from.
 * @param {string} label
 * @param {{value: string, text: string}[]} choices
 * @param {string} chosen
 * @param {(value: string) => void} onChoice
 */
export function chooser(label, choices, chosen, onChoice) {
  const select = make("select", { "aria-label": label });
  for (const { value, text } of choices) {
    select.append(make("option", { value, selected: value === chosen }, text));
  }
  select.addEventListener("change", () => onChoice(select.value));
  return select;
}

/**
 * True where keys are text: in fields and lists, not in boxes to tick and sliders.
 * @param {EventTarget | null} target
 */
export function takesText(target) {
  const fields = "textarea, select, input:not([type=checkbox], [type=radio], [type=range])";
  return target instanceof HTMLElement && (target.isContentEditable || target.matches(fields));
}

/**
 * Do something once, as soon as an element is seen.
 * @param {Element} element
 * @param {() => void} act
 */
export function whenSeen(element, act) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    act();
  });
  observer.observe(element);
}

/** True where the person asked their system for less motion. */
export function prefersLessMotion() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
