// Inputs for the fields of a schema, each with its label, its help, and a place for its error.

import { h, uniqueId } from "./dom.js";
import { readValue, showValue } from "./schema.js";

export class Field {
  /**
   * @param {object} field of schema.js
   * @param {any} value what is set now
   * @param {{keepsSecret?: boolean}} options keepsSecret: an empty secret keeps the one that is stored
   */
  constructor(field, value, { keepsSecret = false } = {}) {
    Object.assign(this, field);
    const id = uniqueId("field");
    const [help, error] = [`${id}-help`, `${id}-error`];
    this.input = buildInput(field, keepsSecret);
    const attributes = { id, "aria-describedby": `${help} ${error}`, "aria-required": String(field.isRequired), name: field.path };
    for (const [name, text] of Object.entries(attributes)) this.input.setAttribute(name, text);
    this.input.value = showValue(field.kind, value);
    this.error = h("p.error", { id: error, hidden: true });
    this.element = h("div.field", {},
      h("label", { for: id }, field.title, field.isRequired ? h("span.needed", {}, "required") : null),
      this.input,
      h("p.help", { id: help }, field.schema.description || ""),
      this.error);
    this.input.addEventListener("input", () => this.complain(""));
  }

  /** The value; undefined if the field is empty. Complains and throws if what is written means nothing. */
  read() {
    try {
      const value = readValue(this.kind, this.input.value);
      if (value === undefined && this.isRequired) throw new Error("This is needed.");
      return value;
    } catch (error) {
      this.complain(error.message);
      throw error;
    }
  }

  complain(text) {
    this.error.textContent = text;
    this.error.hidden = !text;
    if (text) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
    // What is hidden below "More settings" opens, so that its error is seen.
    if (text) this.element.closest("details")?.setAttribute("open", "");
  }
}

function buildInput({ kind, schema }, keepsSecret) {
  const standard = "default" in schema ? `${showValue(kind, schema.default)} (default)` : "";
  switch (kind) {
    case "choice":
      return h("select", {}, h("option", { value: "" }, standard || "–"), ...schema.enum.map((value) => h("option", { value: String(value) }, String(value))));
    case "switch":
      return h("select", {}, h("option", { value: "" }, standard || "–"), h("option", { value: "true" }, "true"), h("option", { value: "false" }, "false"));
    case "secret":
    case "secretJson":
      return h("input", { type: "password", autocomplete: "new-password", placeholder: keepsSecret ? "unchanged" : "kept in a Secret" });
    case "list":
      return h("textarea", { rows: 2, placeholder: standard || "one a line", spellcheck: "false" });
    case "json":
      return h("textarea.code", { rows: 2, placeholder: standard || "JSON, or a text", spellcheck: "false" });
    case "whole":
    case "number":
      return h("input", { type: "text", inputmode: "decimal", placeholder: standard, autocomplete: "off" });
    default:
      return (schema.maxLength || 0) > 500 || /PEM/.test(schema.description || "")
        ? h("textarea.code", { rows: 2, placeholder: standard, spellcheck: "false" })
        : h("input", { type: "text", placeholder: standard, autocomplete: "off", spellcheck: "false" });
  }
}
