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

/** Replaces what is in an element. */
export function show(element, ...children) {
  element.replaceChildren(...flat(children));
  return element;
}

function flat(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== "");
}

/** Says a sentence to screen readers, without moving the focus. */
export function announce(text) {
  const place = document.getElementById("announcer");
  if (place) place.textContent = text;
}

/** Shows a sentence for a while at the bottom of the page. */
export function toast(text, tone = "good", commands = []) {
  const place = document.getElementById("toasts");
  const note = h(`div.toast.${tone}`, {}, h("div", {}, text, buildCommands(commands)), h("button.quiet", { type: "button", "aria-label": "Dismiss", onclick: () => note.remove() }, "×"));
  place.append(note);
  announce(text);
  if (tone === "good") setTimeout(() => note.remove(), 6000);
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
