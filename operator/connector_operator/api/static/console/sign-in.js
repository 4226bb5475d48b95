// Asks for a token. It goes into the session and nowhere else; the field is emptied.

import { explain } from "./session.js";
import { h } from "./dom.js";

export class SignIn {
  /** @param {{reason: string, tryToken: (token: string) => Promise<void>}} options */
  constructor({ reason, tryToken }) {
    this.tryToken = tryToken;
    this.input = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", "aria-describedby": "token-help token-error", "aria-required": "true" });
    this.error = h("p.error", { id: "token-error", role: "alert", hidden: !reason }, reason);
    this.button = h("button.button.primary", { type: "submit" }, "Sign in");
    this.element = h("main.page.narrow.sign-in", { id: "main", tabindex: -1 },
      h("h1", {}, "Connectors"),
      h("p", {}, "This console acts with your own rights in the cluster, so it needs your Kubernetes token."),
      h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); this.#send(); } },
        h("div.field", {}, h("label", { for: "token" }, "Token"), this.input,
          h("p.help", { id: "token-help" }, "It stays in this page's memory until you close or reload it. It is not stored."), this.error),
        h("div.buttons", {}, this.button)),
      h("details", {}, h("summary", {}, "Where do I get one?"),
        h("p", {}, "For a service account that may work with connectors:"),
        h("pre.code", {}, "kubectl create token SERVICE_ACCOUNT"),
        h("p", {}, "A proxy in front of this page that logs people in and sends the header ", h("code", {}, "Authorization: Bearer …"), " makes this question go away.")));
  }

  focus() {
    this.input.focus();
  }

  async #send() {
    const token = this.input.value.trim();
    if (!token) return this.#say("Paste a token first.");
    this.button.disabled = true;
    try {
      this.input.value = "";
      await this.tryToken(token);
    } catch (error) {
      this.#say(explain(error));
    } finally {
      this.button.disabled = false;
    }
    return undefined;
  }

  #say(text) {
    this.error.textContent = text;
    this.error.hidden = false;
    this.input.setAttribute("aria-invalid", "true");
    this.input.focus();
  }

  update() {}

  end() {}
}
