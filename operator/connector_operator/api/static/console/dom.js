// Builds elements. Whatever comes from the cluster goes in as text: nothing here reads markup.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element.
 * @param {string} tag with classes: "div.card.wide"
 * @param {object} props `on…` listeners, `data` attributes, `style` properties, booleans and texts as attributes
 * @param {...(Node|string|null|undefined|Array)} children
 */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag.split(".")[0]), tag, props, children);
}

export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag.split(".")[0]), tag, props, children);
}

function fill(element, tag, props, children) {
  const classes = tag.split(".").slice(1);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "style") Object.assign(element.style, value);
    else if (name === "value" || name === "checked") element[name] = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...flat(children));
  return element;
}

/**
 * Replaces what is in an element, unless that is there already: an element that is taken out and put back loses the focus,
 * its scroll position and the text selected in it, and a sentence that is put in again may be read aloud again.
 */
export function show(element, ...children) {
  const wanted = flat(children);
  const there = [...element.childNodes];
  if (there.length !== wanted.length || !wanted.every((child, index) => isShown(child, there[index]))) element.replaceChildren(...wanted);
  return element;
}

function isShown(wanted, there) {
  return wanted instanceof Node ? wanted === there : there.nodeType === Node.TEXT_NODE && there.data === String(wanted);
}

/** As `show`, for what is built anew at each drawing: elements of the same kind stay and only get what differs. Not for elements with listeners. */
export function redraw(element, ...children) {
  const made = document.createElement("div");
  made.append(...flat(children));
  takeOver(element, made);
  return element;
}

function takeOver(element, made) {
  const there = [...element.childNodes];
  const wanted = [...made.childNodes];
  wanted.forEach((child, index) => {
    const old = there[index];
    if (!old) element.append(child);
    else if (old.nodeName !== child.nodeName) old.replaceWith(child);
    else if (old instanceof Element) {
      takeAttributes(old, child);
      takeOver(old, child);
    } else if (old.data !== child.data) old.data = child.data;
  });
  there.slice(wanted.length).forEach((old) => old.remove());
}

function takeAttributes(element, made) {
  for (const { name } of [...element.attributes]) if (!made.hasAttribute(name)) element.removeAttribute(name);
  for (const { name, value } of made.attributes) if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

/** Says a sentence to screen readers, without moving the focus. */
export function announce(text) {
  const place = document.getElementById("announcer");
  if (place) place.textContent = text;
}

/** So long a message is shown that something is done. */
const SHOWN = 6000;

/** Shows a sentence at the bottom of the page: what is done for a while, and as long as pointer or focus are on it; what failed until it is dismissed. */
export function toast(text, tone = "good", commands = []) {
  const place = document.getElementById("toasts");
  const note = h(`div.toast.${tone}`, {}, h("div", {}, text, buildCommands(commands)), h("button.quiet", { type: "button", "aria-label": "Dismiss", onclick: () => note.remove() }, "×"));
  place.append(note);
  announce(text);
  if (tone === "good") leaveLater(note);
}

function leaveLater(note) {
  let timer = setTimeout(() => note.remove(), SHOWN);
  const wait = () => {
    clearTimeout(timer);
    if (!note.matches(":hover, :focus-within")) timer = setTimeout(() => note.remove(), SHOWN);
  };
  for (const kind of ["mouseenter", "mouseleave", "focusin", "focusout"]) note.addEventListener(kind, () => queueMicrotask(wait));
}

/** What an administrator types so that something is allowed; null for nothing. */
export function buildCommands(commands) {
  return commands.length ? h("div.commands", {}, "An administrator allows it by:", h("pre.code", { tabindex: 0, role: "region", "aria-label": "Commands that give the right" }, commands.join("\n"))) : null;
}

let count = 0;
/** An id that no other element has. */
export function uniqueId(start) {
  count += 1;
  return `${start}-${count}`;
}
