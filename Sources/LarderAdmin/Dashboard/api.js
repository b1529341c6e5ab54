// Asks the admin side: one request at a time, each with an end, with the token where the listener wants one.

/** Milliseconds for an answer; what the store holds is counted chunk by chunk, which may take a while. */
const patience = 60_000;
const tokenKey = "larder-token";

/** The daemon answered, but not with what was asked for. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Nobody answered. */
export class Gone extends Error {}

export class API {
  #tail = Promise.resolve();
  #token = sessionStorage.getItem(tokenKey);

  /** Whether a token is sent. */
  get hasToken() { return this.#token !== null; }

  /** The token from now on, for as long as this tab lives; null forgets it. */
  set token(token) {
    this.#token = token;
    if (token === null) sessionStorage.removeItem(tokenKey);
    else sessionStorage.setItem(tokenKey, token);
  }

  #headers() { return this.#token === null ? {} : { Authorization: `Bearer ${this.#token}` }; }

  /** GET of a path as a value. Throws `Refused` or `Gone`. */
  get(path) {
    const answer = this.#tail.then(() => this.#ask(path));
    this.#tail = answer.catch(() => {});
    return answer;
  }

  async #ask(path) {
    const response = await this.#fetch(path, AbortSignal.timeout(patience));
    try {
      return await response.json();
    } catch (error) {
      throw new Gone(`the answer broke off: ${error.message}`);
    }
  }

  async #fetch(path, signal) {
    let response;
    try {
      response = await fetch(path, {
        headers: this.#headers(), signal, cache: "no-store", credentials: "omit", redirect: "error",
      });
    } catch (error) {
      throw new Gone(error.name === "TimeoutError" ? "the daemon does not answer" : "nobody answers here");
    }
    if (response.ok) return response;
    let body = null;
    try {
      body = await response.json();
    } catch { /* Something between that is not the daemon. */ }
    if (!body?.error) throw new Gone(`something else answers here, with status ${response.status}`);
    throw new Refused(response.status, body.error.code, body.error.message);
  }

  /**
   * Events as they happen, until the signal ends it or the daemon does: server-sent events, read here because the
   * browser's own reader of them sends no token. `note` is called with the name and the value of each.
   */
  async events(after, signal, note) {
    const response = await this.#fetch(`/v1/events${after === null ? "" : `?after=${after}`}`, signal);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        rest += value;
        // Events are small; what has no end is none of them.
        if (rest.length > 1 << 20) throw new Gone("the stream of events makes no sense");
        const parts = rest.split("\n\n");
        rest = parts.pop();
        for (const part of parts) this.#event(part, note);
      }
    } catch (error) {
      if (error instanceof Gone) throw error;
      throw new Gone("the stream of events broke off");
    } finally {
      reader.cancel().catch(() => {});
    }
  }

  #event(text, note) {
    const fields = { event: "", data: "" };
    for (const line of text.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
    }
    if (fields.event) note(fields.event, JSON.parse(fields.data));
  }
}
