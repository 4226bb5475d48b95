"use strict";

const EXAMPLES = {
  createConnector: {
    datasetId: "YOUR_DATASET",
    config: { url: "wss://ws-feed.exchange.coinbase.com", productId: ["BTC-USD", "LINK-USD"] },
    connectorType: "COINBASE",
    wait: true,
  },
  updateConnector: { selectedStream: "ticker" },
};

function make(tag, text = "", properties = {}) {
  return Object.assign(document.createElement(tag), { textContent: text, ...properties });
}

function field(caption, input) {
  const label = make("label", caption + " ");
  label.append(input);
  return label;
}

function buildCall(path, method, parameters, operation) {
  const box = make("details");
  const summary = make("summary");
  summary.append(make("code", `${method.toUpperCase()} /v1${path}`), ` ${operation.summary}`);
  box.append(summary);
  const inputs = parameters.map((parameter) => {
    const input = make("input", "", { value: parameter.name === "name" ? "YOUR_CONNECTOR" : "" });
    box.append(field(parameter.name, input));
    return { parameter, input };
  });
  const body = operation.requestBody ? make("textarea") : null;
  if (body) {
    body.value = JSON.stringify(EXAMPLES[operation.operationId] ?? {}, null, 2);
    box.append(field("body", body));
  }
  const answer = make("pre", "", { hidden: true });
  const button = make("button", "Send", { type: "button" });
  button.addEventListener("click", () => send(path, method, inputs, body, answer));
  box.append(button, answer);
  return box;
}

async function send(path, method, inputs, body, answer) {
  let url = path.slice(1);
  const query = new URLSearchParams();
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (input.value) query.set(parameter.name, input.value);
  }
  const headers = {};
  const token = document.getElementById("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  answer.hidden = false;
  answer.textContent = "…";
  try {
    const response = await fetch(query.size ? `${url}?${query}` : url, { method, headers, body: body?.value });
    const text = await response.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: as it is */ }
    answer.textContent = `${response.status} ${response.statusText}\n${shown}`;
  } catch (error) {
    answer.textContent = String(error);
  }
}

async function start() {
  const description = await (await fetch("openapi.json")).json();
  const calls = document.getElementById("calls");
  for (const [path, item] of Object.entries(description.paths)) {
    for (const method of ["get", "post", "put", "delete"]) {
      const operation = item[method];
      if (operation) calls.append(buildCall(path, method, [...(item.parameters ?? []), ...(operation.parameters ?? [])], operation));
    }
  }
}

start();
