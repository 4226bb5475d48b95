// What a person does to a connector: buttons, and the questions before what can't be undone.

import { explain } from "./session.js";
import { h, toast, uniqueId } from "./dom.js";

/** The calls, each with the word on its button and the sentence after it. */
export const ACTIONS = {
  start: { word: "Start", done: "is starting", call: (session, id) => session.put(path(id), { status: "running" }) },
  stop: { word: "Stop", done: "is stopping: its runner commits and ends", call: (session, id) => session.put(path(id), { status: "stopped" }) },
  restart: { word: "Restart", done: "gets a new execution", call: (session, id) => session.post(`v1/fleet/connector/${encodeURIComponent(id)}/restart`) },
  rediscover: { word: "Look for streams again", done: "asks its source for the streams again", call: (session, id) => session.post(`v1/fleet/connector/${encodeURIComponent(id)}/rediscover`) },
};

/** Which actions make sense now. */
export function offered(connector) {
  const wantsToRun = connector.asked === "running";
  return { start: !wantsToRun, stop: wantsToRun, restart: wantsToRun, rediscover: true };
}

/** Does it; says how it went. Returns whether it was done. */
export async function act(session, connector, name, button) {
  if (!(await confirmOwned(connector))) return false;
  return run(button, `${connector.id} ${ACTIONS[name].done}.`, () => ACTIONS[name].call(session, connector.id));
}

/** Runs a call while its button waits; says how it went. */
export async function run(button, done, call) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    await call();
    toast(done);
    return true;
  } catch (error) {
    toast(explain(error), "bad", error.commands);
    return false;
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

/** Deletes after its name was typed. Returns whether it was done. */
export async function remove(session, connector, button) {
  if (!(await confirmOwned(connector))) return false;
  const input = h("input", { type: "text", autocomplete: "off", spellcheck: "false", "aria-label": `Type ${connector.id}` });
  const isSure = await ask({
    title: `Delete ${connector.id}?`,
    body: [
      h("p", {}, "Its runner ends, and the connector, its Jobs and its Secret are removed. Rows that it has written stay in the dataset."),
      h("p", {}, "Type ", h("b", {}, connector.id), " to delete it."), input,
    ],
    word: "Delete", tone: "danger", input, isReady: () => input.value === connector.id,
  });
  return isSure && run(button, `Deleted ${connector.id}.`, () => session.delete(path(connector.id)));
}

/** Asks before a change that a GitOps tool would undo; true if there is none, or the person goes on. */
export async function confirmOwned(connector) {
  const owner = connector.managedBy;
  if (!owner) return true;
  return ask({
    title: `Managed by ${owner.tool}`,
    body: [h("p", {}, `${owner.tool}${owner.name ? ` (${owner.name})` : ""} keeps this connector as it is written in its source. What you change here is undone at its next sync: make the change there instead.`)],
    word: "Change it anyway", tone: "danger",
  });
}

/** A question in a dialog; resolves to whether the person said yes. */
export function ask({ title, body, word, tone = "primary", input = null, isReady = () => true }) {
  return new Promise((resolve) => {
    const id = uniqueId("dialog");
    const yes = h(`button.button.${tone}`, { type: "submit", value: "yes" }, word);
    const form = h("form", { method: "dialog" },
      h("h2", { id }, title), ...body,
      h("div.buttons", {}, yes, h("button.button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
    const dialog = h("dialog", { "aria-labelledby": id }, form);
    form.addEventListener("submit", (event) => { if (!isReady()) event.preventDefault(); });
    const look = () => { yes.disabled = !isReady(); };
    input?.addEventListener("input", look);
    look();
    dialog.addEventListener("close", () => { dialog.remove(); resolve(dialog.returnValue === "yes"); });
    document.body.append(dialog);
    dialog.showModal();
    (input || yes).focus();
  });
}

function path(id) {
  return `v1/connectors/connector/${encodeURIComponent(id)}`;
}
