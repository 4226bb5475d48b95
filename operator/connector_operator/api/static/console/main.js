// Begins the page: asks for a token if one is needed, keeps the fleet live, and shows the view that the address names.

import { ConnectorView } from "./connector-view.js";
import { announce, buildCommands, h, show } from "./dom.js";
import { FleetView } from "./fleet-view.js";
import { FormView } from "./form-view.js";
import { Live } from "./live.js";
import { explain, Session } from "./session.js";
import { SignIn } from "./sign-in.js";
import { Fleet } from "./store.js";

const LINKS = { loading: "Loading", live: "Live", listed: "Every 30 s", lost: "Reconnecting", refused: "Not allowed" };

class Console {
  constructor() {
    this.session = new Session();
    this.fleet = new Fleet();
    this.schemas = {};
    this.place = document.getElementById("view");
    this.link = document.getElementById("link");
    this.namespace = document.getElementById("namespace");
    this.out = document.getElementById("sign-out");
    this.banner = document.getElementById("problem");
    this.session.onUnauthorized = (refusal) => this.#signInAgain(refusal);
    this.out.addEventListener("click", () => this.#signOut());
    addEventListener("hashchange", () => { this.kept = null; this.#route(true); });
    addEventListener("keydown", (event) => this.#shortcut(event));
  }

  /** Tries without a token first: a proxy in front may add one. */
  async begin() {
    try {
      const schemas = await this.session.get("v1/connectors");
      this.schemas = Object.fromEntries(schemas.map((schema) => [titleOf(schema), schema.properties.config]));
      await this.session.get("v1/fleet?limit=1");
      this.#follow();
    } catch (error) {
      if (error.isLogin) return;
      if (error.status === 401) this.#askToken("");
      else if (error.status === 403) this.#askToken(explain(error));
      else this.#sayLost(error);
    }
  }

  #sayLost(error) {
    this.#say(explain(error), "Try again", () => { this.#say(""); this.begin(); });
  }

  #askToken(reason) {
    // What a person has typed into a form is still there afterwards.
    if (this.view instanceof FormView) {
      this.kept = this.view;
      this.view = null;
    }
    this.#leave();
    this.link.hidden = this.out.hidden = true;
    const view = new SignIn({
      reason,
      tryToken: async (token) => {
        this.session.use(token);
        try {
          await this.session.get("v1/fleet?limit=1");
        } catch (error) {
          this.session.use("");
          throw error;
        }
        this.#follow();
      },
    });
    this.#enter(view);
    view.focus();
  }

  #follow() {
    this.live?.stop();
    this.#leave();
    this.fleet = new Fleet();
    this.live = new Live(this.session, this.fleet, (names) => this.#changed(names), (link) => this.#linked(link));
    this.link.hidden = false;
    this.out.hidden = !this.session.hasToken;
    this.live.run();
    const { kept } = this;
    this.kept = null;
    if (kept) this.#enter(kept);
    else this.#route(false);
  }

  /** A token or a login has ended while the page is open; what the address names is shown again afterwards. */
  #signInAgain(refusal) {
    if (refusal.isLogin) {
      this.live?.stop();
      this.#say(explain(refusal), "Load the page again", () => location.reload());
    } else if (this.live && !this.live.isOver) {
      this.live.stop();
      this.session.use("");
      this.#askToken(explain(refusal));
    }
  }

  #signOut() {
    this.live?.stop();
    this.#leave();
    this.session.use("");
    this.fleet = new Fleet();
    this.#say("");
    this.namespace.textContent = "";
    this.#askToken("You are signed out; the token is forgotten.");
  }

  #changed(names) {
    this.namespace.textContent = this.fleet.namespace;
    this.view?.update(names);
  }

  #linked({ state, refusal }) {
    show(this.link, h(`span.pill.${{ live: "good", refused: "bad" }[state] || "busy"}`, {}, h("span.dot", { "aria-hidden": "true" }), LINKS[state]));
    if (state === "refused" && refusal.status === 401) return;
    if (state === "refused") {
      this.#say(explain(refusal), "Try again", () => { this.#say(""); this.#follow(); }, refusal.commands);
    } else if (state === "listed") {
      this.#say(`${explain(refusal)} Until then the list is read again every 30 seconds.`, "", null, refusal.commands);
    } else if (state === "lost") {
      this.#say(`${explain(refusal)} What you see may be old; trying again.`);
    } else if (state === "live") {
      this.#say("");
    }
  }

  #say(text, word = "", press = null, commands = []) {
    this.banner.hidden = !text;
    show(this.banner, text ? h("span", {}, text) : null, press ? h("button.button.small", { type: "button", onclick: press }, word) : null, buildCommands(commands));
  }

  async #route(isMoved) {
    if (this.view instanceof SignIn) return;
    const [, kind, id, part] = /^#\/(connector|new)?\/?([^/]*)\/?(edit)?/.exec(location.hash) || [];
    this.#leave();
    document.title = "Connectors";
    if (kind === "new") this.#enter(new FormView({ session: this.session, schemas: this.schemas }));
    else if (kind === "connector" && part) await this.#edit(decodeURIComponent(id));
    else if (kind === "connector" && id) this.#enter(new ConnectorView({ session: this.session, fleet: this.fleet, id: decodeURIComponent(id) }));
    else this.#enter(new FleetView({ fleet: this.fleet, types: Object.keys(this.schemas) }));
    this.view?.update(null);
    if (isMoved) {
      scrollTo(0, 0);
      this.view?.element.focus({ preventScroll: true });
      announce(this.view?.element.querySelector("h1")?.textContent || "");
    }
  }

  async #edit(id) {
    try {
      const present = await this.session.get(`v1/fleet/connector/${encodeURIComponent(id)}`);
      this.#enter(new FormView({ session: this.session, schemas: this.schemas, present }));
    } catch (error) {
      this.#say(explain(error));
    }
  }

  #enter(view) {
    this.view = view;
    show(this.place, view.element);
  }

  #leave() {
    this.view?.end();
    this.view = null;
  }

  /** "/" goes to the search, as in other consoles. */
  #shortcut(event) {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
    const search = document.querySelector("main .search");
    if (!search || search.hidden) return;
    event.preventDefault();
    search.focus();
  }
}

/** A schema's type: the enum names all, so the title of its config says which. */
function titleOf(schema) {
  const title = schema.title.replace(/ Tap Schema$/, "").toUpperCase();
  return schema.properties.connectorType.enum.find((type) => type === title) || title;
}

new Console().begin();
