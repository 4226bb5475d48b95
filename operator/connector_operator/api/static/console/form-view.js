// The form that makes a connector, or changes the config of one.

import { explain } from "./session.js";
import { confirmOwned } from "./actions.js";
import { announce, h, show, toast } from "./dom.js";
import { Field } from "./fields.js";
import { describeDataset, fieldOfError, listFields, pick, place, problemOfId } from "./schema.js";

const SOURCES = { COINBASE: "Market data of the Coinbase exchange", ETHEREUM: "Blocks, transactions and logs of an Ethereum chain", MYSQL: "Tables of MySQL and MariaDB, and their changes" };
const OWN = {
  id: { path: "id", title: "Name", kind: "text", isRequired: true, schema: { description: "What it is called in this API. Its resource has this name in lower case, with - for _." } },
  datasetId: { path: "datasetId", title: "Dataset", kind: "text", isRequired: false, schema: { description: "The Dataset that its rows go to; needed before it starts." } },
  description: { path: "description", title: "Description", kind: "text", isRequired: false, schema: { description: "For people." } },
};

export class FormView {
  /** @param {object} context session, schemas; `present` is the connector's detail when one is changed */
  constructor({ session, schemas, present = null }) {
    Object.assign(this, { session, schemas, present });
    this.fields = [];
    this.problem = h("div.banner.bad", { role: "alert", hidden: true });
    this.body = h("div.fields");
    this.types = h("div.types", { role: "radiogroup", "aria-label": "Type" });
    this.submit = h("button.button.primary", { type: "submit" }, present ? "Save" : "Create");
    const back = present ? `#/connector/${encodeURIComponent(present.id)}` : "#/";
    this.form = h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); this.#send(); } },
      present ? null : this.types, this.problem, this.body,
      h("div.buttons", {}, this.submit, h("a.button", { href: back }, "Cancel")));
    this.element = h("main.page.narrow", { id: "main", tabindex: -1 },
      h("a.back", { href: back }, "← Back"),
      h("h1", {}, present ? `Settings of ${present.id}` : "New connector"), this.form);
    if (present) this.#choose(present.type);
    else this.#drawTypes();
    this.#offerDatasets();
  }

  #drawTypes() {
    show(this.types, Object.keys(this.schemas).map((type) => h("label.type", {},
      h("input", { type: "radio", name: "type", value: type, onchange: () => this.#choose(type) }),
      h("b", {}, type), h("span", {}, SOURCES[type] || this.schemas[type].description || ""))));
    this.body.hidden = this.submit.hidden = true;
  }

  #choose(type) {
    const kept = this.fields.length ? { id: this.own.id?.input.value, datasetId: this.own.datasetId.input.value } : {};
    this.type = type;
    this.problem.hidden = true;
    const config = this.present?.config || {};
    const keepsSecret = Boolean(this.present?.secrets.length);
    this.own = {};
    for (const [name, field] of Object.entries(OWN)) {
      if (name === "id" && this.present) continue;
      this.own[name] = new Field(field, this.present ? { datasetId: this.present.dataset, description: this.present.description }[name] : kept[name]);
    }
    const listed = listFields(this.schemas[type]).map((field) => (keepsSecret && field.kind.startsWith("secret") ? { ...field, isRequired: false } : field));
    this.fields = listed.map((field) => new Field(field, pick(config, field.path), { keepsSecret }));
    this.own.datasetId.input.setAttribute("list", "datasets");
    this.own.datasetId.input.addEventListener("input", () => this.#sayDataset());
    this.found = h("p.help", { role: "status" });
    this.own.datasetId.element.append(this.found);
    const isShown = (field) => field.isRequired || field.kind.startsWith("secret") || field.input.value !== "" || field.path === "url";
    const [main, more] = [this.fields.filter(isShown), this.fields.filter((field) => !isShown(field))];
    this.datalist = h("datalist", { id: "datasets" });
    show(this.body,
      h("section.group", {}, Object.values(this.own).map((field) => field.element), this.datalist),
      h("section.group", {}, h("h2", {}, `${type} source`), main.map((field) => field.element)),
      more.length ? h("details.group", {}, h("summary", {}, `More settings (${more.length})`), more.map((field) => field.element)) : null,
      h("p.help", {}, "Secrets are kept in a Kubernetes Secret that belongs to the connector; nobody can read them back here."));
    this.body.hidden = this.submit.hidden = false;
    this.#fillDatasets();
  }

  async #offerDatasets() {
    try {
      this.datasets = await this.session.get("v1/fleet/datasets");
      this.#fillDatasets();
    } catch {
      // Whoever may not list Datasets writes the name.
    }
  }

  #fillDatasets() {
    if (!this.datasets || !this.datalist) return;
    show(this.datalist, this.datasets.map(({ name }) => h("option", { value: name })));
    const input = this.own.datasetId.input;
    if (!this.present && !input.value && this.datasets.length === 1) input.value = this.datasets[0].name;
    this.#sayDataset();
  }

  /** Which Dataset the name stands for, before it is saved. */
  #sayDataset() {
    if (this.datasets) this.found.textContent = describeDataset(this.own.datasetId.input.value.trim(), this.datasets.map(({ name }) => name));
  }

  #read() {
    const problems = [];
    const read = (field) => {
      try {
        return field.read();
      } catch {
        problems.push(field);
        return undefined;
      }
    };
    const own = Object.fromEntries(Object.entries(this.own).map(([name, field]) => [name, read(field)]));
    const config = {};
    for (const field of this.fields) {
      const value = read(field);
      if (value !== undefined) place(config, field.path, value);
    }
    if (this.own.id && own.id !== undefined && problemOfId(own.id)) {
      this.own.id.complain(problemOfId(own.id));
      problems.push(this.own.id);
    }
    if (problems.length) {
      problems[0].input.focus();
      announce(`${problems.length} fields need a look.`);
      return null;
    }
    return { own, config };
  }

  async #send() {
    const filled = this.#read();
    if (!filled || (this.present && !(await confirmOwned(this.present)))) return;
    const { own, config } = filled;
    this.submit.disabled = true;
    this.problem.hidden = true;
    try {
      if (this.present) {
        await this.session.put(path(this.present.id), { config, datasetId: own.datasetId || null, description: own.description || null });
        toast(`Saved ${this.present.id}.`);
        location.hash = `#/connector/${encodeURIComponent(this.present.id)}`;
      } else {
        const body = { connectorType: this.type, wait: true, config, datasetId: own.datasetId || "", description: own.description || "" };
        await this.session.post(path(own.id), body);
        toast(`Created ${own.id}. The operator asks the source for its streams.`);
        location.hash = `#/connector/${encodeURIComponent(own.id)}`;
      }
    } catch (error) {
      this.#complain(error);
    } finally {
      this.submit.disabled = false;
    }
  }

  /** Errors go to their fields; what belongs to none stands above the form. */
  #complain(refusal) {
    const placed = new Set();
    for (const error of refusal.errors || []) {
      const inConfig = fieldOfError(error.path);
      const field = this.fields.find((one) => one.path === inConfig || inConfig.startsWith(`${one.path}.`)) || this.own[error.path.replace("$.", "")];
      if (!field) continue;
      field.complain(`${error.message.charAt(0).toUpperCase()}${error.message.slice(1)}`);
      if (!placed.size) field.input.focus();
      placed.add(error);
    }
    const rest = (refusal.errors || []).filter((error) => !placed.has(error));
    const text = rest.length ? rest.map((error) => `${error.path}: ${error.message}`).join("; ") : placed.size ? "" : explain(refusal);
    this.problem.hidden = !text;
    show(this.problem, text);
    if (text) this.problem.scrollIntoView({ block: "nearest" });
  }

  update() {}

  end() {}
}

function path(id) {
  return `v1/connectors/connector/${encodeURIComponent(id)}`;
}
