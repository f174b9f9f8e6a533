// One conversation of the Playground: what was said to one model, and what each of its answers took.
import { time } from "./gateway.js";

const FACTS_TRIES = 12;
const FACTS_WAIT_MS = 400;

const element = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });

// What a model wants to have called, as people read it.
const shownCalls = (calls) => calls.map((call) => `${call.name}(${call.arguments})`).join("\n");

export class Lane {
  // root: its element. said: the page's words and addresses. select: where its model is chosen.
  constructor(root, select, gateway, said) {
    Object.assign(this, { root, select, gateway, said, messages: [], running: null });
    this.chat = root.querySelector("[data-chat]");
    this.heading = root.querySelector("[data-lane-name]");
    this.rename();
  }

  get model() {
    return this.select.value;
  }

  rename() {
    this.heading.textContent = this.model;
    this.chat.setAttribute("aria-label", `${this.said.conversation}: ${this.model}`);
  }

  clear() {
    this.running?.abort();
    this.messages.length = 0;
    this.chat.replaceChildren();
  }

  stop() {
    this.running?.abort();
  }

  // Resolves when the answer has ended, to {model, error, firstMs, totalMs, told}; `told` is a promise of what was
  // recorded of it, null when nothing was.
  async ask(text, bodyOf) {
    const { said, model } = this;
    this.messages.push({ role: "user", content: text });
    this.#turn(said.you, "user", text);
    const shown = this.#turn(model, "model");
    shown.words.classList.add("caret");
    this.running = new AbortController();
    let outcome;
    try {
      outcome = await this.#stream(bodyOf(model, [...this.messages]), shown);
    } catch (error) {
      outcome = { error: error.name === "AbortError" ? said.stopped : said.noAnswer };
    }
    this.running = null;
    shown.words.classList.remove("caret");
    if (outcome.text) this.messages.push({ role: "assistant", content: outcome.text });
    else this.messages.pop();
    if (outcome.error) shown.words.after(element("div", "field-error", outcome.error));
    else if (!outcome.text && !outcome.calls?.length) shown.words.textContent = said.empty;
    const told = outcome.requestId ? this.#facts(shown.facts, outcome.requestId) : Promise.resolve(null);
    return { model, told, error: outcome.error, totalMs: outcome.totalMs, firstMs: outcome.firstMs };
  }

  async #stream(wanted, shown) {
    const { said } = this;
    let latest = "";
    let frame = null;
    // Once a frame: a fast model would otherwise keep the page too busy to press Stop.
    const draw = () => {
      frame = null;
      shown.words.textContent = latest;
      shown.box.scrollIntoView({ block: "nearest" });
    };
    const outcome = await this.gateway.ask(wanted, {
      signal: this.running.signal,
      onFirst: (ms) => this.#fact(shown.facts, said.first, time(ms)),
      onText: (text, calls) => {
        latest = [text, shownCalls(calls)].filter(Boolean).join("\n");
        frame ??= requestAnimationFrame(draw);
      },
    });
    cancelAnimationFrame(frame);
    if (latest) draw();
    if (outcome.stopped) this.#fact(shown.facts, said.stopped, "");
    if (outcome.totalMs !== undefined) this.#fact(shown.facts, said.total, time(outcome.totalMs));
    return outcome;
  }

  #turn(who, kind, text = "") {
    this.chat.querySelector("[data-chat-empty]")?.remove();
    const box = element("div", `turn turn-${kind}`);
    const words = element("div", "turn-text", text);
    const facts = element("div", "turn-facts");
    box.append(element("div", "turn-who", who), words, facts);
    this.chat.append(box);
    box.scrollIntoView({ block: "nearest" });
    return { box, words, facts };
  }

  #fact(box, label, value, title = "") {
    const item = document.createElement("span");
    item.append(`${label} `, element("b", "", value));
    if (title) item.title = title;
    box.append(item);
  }

  // What is known once its usage is recorded, which takes a moment.
  async #facts(box, requestId) {
    const { said } = this;
    for (let attempt = 0; attempt < FACTS_TRIES; attempt += 1) {
      const answer = await fetch(said.factsUrl.replace("REQUEST", requestId));
      if (answer.status === 200) {
        const told = await answer.json();
        this.#fact(box, said.tokens, `${told.input_tokens} → ${told.output_tokens}`);
        this.#fact(box, said.cost, told.cost, told.cost_exact);
        if (told.target) this.#fact(box, said.target, told.target);
        this.#fact(box, said.attempts, told.attempts);
        if (told.cache) this.#fact(box, said.cache, told.cache);
        const link = element("a", "link", said.log);
        link.href = said.logUrl.replace("REQUEST", requestId);
        box.append(link);
        return told;
      }
      await new Promise((wake) => setTimeout(wake, FACTS_WAIT_MS));
    }
    return null;
  }
}
