// Requests to the API, with a token that is kept in this object alone: never in storage, in an address or in a log.

export class Refusal extends Error {
  /** @param {number} status 0 when there was no answer */
  constructor(status, message, { errors = [], commands = [], isLogin = false } = {}) {
    super(message);
    this.status = status;
    this.errors = errors;
    /** What an administrator types so that it is allowed. */
    this.commands = commands;
    /** Whether a proxy in front wants the person to log in again. */
    this.isLogin = isLogin;
  }
}

export class Session {
  #token = "";
  /** Silence after which a stream counts as broken; the API sends something every ten seconds. */
  silentSeconds = 45;

  /** Called with each 401: whatever was asked, a person has to sign in again. */
  onUnauthorized = () => {};

  get hasToken() {
    return this.#token !== "";
  }

  use(token) {
    this.#token = token.trim();
  }

  async get(path) {
    return this.#send("GET", path);
  }

  async post(path, body = {}) {
    return this.#send("POST", path, body);
  }

  /** Changes a connector; what comes of it is seen by the watch, so the answer waits for nothing. */
  async put(path, body) {
    return this.#send("PUT", `${path}?wait=0`, body);
  }

  async delete(path) {
    return this.#send("DELETE", path);
  }

  async #send(method, path, body) {
    const options = { method, headers: this.#headers() };
    if (body !== undefined && method !== "GET") {
      options.headers["Content-Type"] = "application/json";
      options.body = JSON.stringify(body);
    }
    return (await this.#fetch(path, options)).json();
  }

  /** Calls `take` with each line's value until the stream ends; returns then. `onOpen` is called when it was allowed. */
  async follow(path, take, signal, { method = "GET", onOpen = () => {} } = {}) {
    const silence = new AbortController();
    const stop = () => silence.abort();
    signal.addEventListener("abort", stop);
    let timer;
    const wake = () => {
      clearTimeout(timer);
      timer = setTimeout(stop, this.silentSeconds * 1000);
    };
    try {
      wake();
      const answer = await this.#fetch(path, { method, headers: this.#headers(), signal: silence.signal });
      onOpen();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        wake();
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) if (line) take(JSON.parse(line));
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      stop();
    }
  }

  #unauthorized(refusal) {
    this.onUnauthorized(refusal);
    return refusal;
  }

  #headers() {
    return this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
  }

  async #fetch(path, options) {
    let answer;
    try {
      answer = await fetch(path, { ...options, cache: "no-store", credentials: "same-origin", redirect: "manual" });
    } catch (error) {
      if (options.signal?.aborted) throw error;
      throw new Refusal(0, "The API does not answer. Check that its Deployment runs and that this address still reaches it.");
    }
    if (answer.type === "opaqueredirect") {
      throw this.#unauthorized(new Refusal(401, "Your login has ended", { isLogin: true }));
    }
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    const refusal = new Refusal(answer.status, problem.detail || problem.message || answer.statusText || "refused", problem);
    throw answer.status === 401 ? this.#unauthorized(refusal) : refusal;
  }
}

/** What a person does about a refusal, in a sentence or two. */
export function explain(refusal) {
  const said = refusal.message.replace(/[.\s]+$/, "");
  switch (refusal.status) {
    case 401:
      if (refusal.isLogin) return `${said}: the proxy in front of this page wants you to log in again. Load the page again.`;
      return `The cluster does not accept the token: ${said}. Sign in again with a fresh one.`;
    case 403:
      return `You may not do this: ${said}. Ask an administrator of the namespace for that right.`;
    case 404:
      return `It is not there: ${said}. Somebody may have deleted it.`;
    case 409:
      return `Somebody was faster, or it exists already: ${said}.`;
    case 502:
    case 503:
      return `The cluster can't answer now: ${said}. Nothing is known of the change; look again in a moment.`;
    default:
      return `${said}.`;
  }
}
