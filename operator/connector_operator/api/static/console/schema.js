// What a form asks for, from a type's JSON Schema; and the config that a filled form means. Pure.

/**
 * The fields of an object schema, required ones first.
 * @returns {Array<{path: string, title: string, kind: string, isRequired: boolean, schema: object}>}
 *   path: dotted; kind: text, secret, whole, number, choice, switch, list, json
 */
export function listFields(schema, prefix = "", isInRequired = true) {
  const required = new Set(schema.required || []);
  const fields = Object.entries(schema.properties || {}).flatMap(([name, child]) => {
    const path = prefix ? `${prefix}.${name}` : name;
    const isNeeded = isInRequired && required.has(name) && !("default" in child);
    if (typeOf(child) === "object" && child.properties) return listFields(child, path, isNeeded);
    return [{ path, title: path, kind: kindOf(child), isRequired: isNeeded, schema: child }];
  });
  return [...fields.filter((field) => field.isRequired), ...fields.filter((field) => !field.isRequired)];
}

function typeOf(schema) {
  return Array.isArray(schema.type) ? schema.type.find((type) => type !== "null") : schema.type;
}

export function kindOf(schema) {
  if (schema.format === "password") return typeOf(schema) === "string" ? "secret" : "secretJson";
  if (schema.enum) return "choice";
  switch (Array.isArray(schema.type) && schema.type.filter((type) => type !== "null").length > 1 ? "" : typeOf(schema)) {
    case "string": return "text";
    case "integer": return "whole";
    case "number": return "number";
    case "boolean": return "switch";
    case "array": return typeOf(schema.items || {}) === "string" ? "list" : "json";
    default: return "json";
  }
}

/** What an input shows for a value that is there. */
export function showValue(kind, value) {
  if (value === undefined || value === null) return "";
  if (kind === "list") return value.join("\n");
  if (kind === "json" || kind === "secretJson") return typeof value === "string" ? value : JSON.stringify(value);
  return String(value);
}

/** The value that a text in an input means; undefined for an empty one. Throws a sentence if it means nothing. */
export function readValue(kind, text) {
  const bare = kind === "secret" ? text : text.trim();
  if (bare === "") return undefined;
  switch (kind) {
    case "whole":
      if (!/^-?\d+$/.test(bare)) throw new Error("Write a whole number.");
      return Number(bare);
    case "number":
      if (Number.isNaN(Number(bare))) throw new Error("Write a number.");
      return Number(bare);
    case "switch": return bare === "true";
    case "list": return bare.split(/[\n,]/).map((item) => item.trim()).filter(Boolean);
    case "json":
    case "secretJson": return readJson(bare);
    default: return bare;
  }
}

/** JSON if it looks like it; any other text stands for itself (a number or a text may be allowed). */
function readJson(text) {
  if (!/^([[{"\d-]|true$|false$)/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    if (/^[[{"]/.test(text)) throw new Error("This is not valid JSON.");
    return text;
  }
}

/** Puts a value at a dotted path of an object. */
export function place(config, path, value) {
  const parts = path.split(".");
  const last = parts.pop();
  let part = config;
  for (const name of parts) part = part[name] ??= {};
  part[last] = value;
}

/** The value at a dotted path; undefined if there is none. */
export function pick(config, path) {
  return path.split(".").reduce((part, name) => (part === undefined || part === null ? undefined : part[name]), config);
}

/** The field that a JSONPath of an error is about: $.config.ssl.key[0] is ssl.key; "" for none of the config's. */
export function fieldOfError(path) {
  const found = /^\$\.config\.(.+)$/.exec(path.replace(/\['([^']*)'\]/g, ".$1"));
  return found ? found[1].replace(/\[\d+\].*$/, "") : "";
}

/** The id that a name may become: "" if it may; else why not. */
export function problemOfId(id) {
  if (!id) return "Give it a name.";
  if (!/^[A-Za-z0-9_-]+$/.test(id)) return "Letters a–z, digits, - and _ only.";
  if (!/[A-Za-z0-9]/.test(id)) return "It needs a letter or a digit.";
  return id.length > 51 ? "At most 51 characters." : "";
}

/** Which of the namespace's Datasets a `datasetId` stands for, in a sentence; as the operator resolves it. */
export function describeDataset(id, existing) {
  if (!existing.length) return "This namespace has no Dataset yet. Apply one by kubectl (manifests/samples has one to start from); the connector can be made before.";
  if (!id) return `Of this namespace: ${existing.slice(0, 5).join(", ")}${existing.length > 5 ? ", …" : ""}.`;
  const name = id.toLowerCase().replaceAll("_", "-").replace(/^-+|-+$/g, "");
  if (existing.includes(name)) return `It is the Dataset ${name}.`;
  if (existing.includes("default")) return `There is no Dataset ${name}; its rows go to the one named default.`;
  return `There is no Dataset ${name} in this namespace; it can't start until one is made.`;
}
