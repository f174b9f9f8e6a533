// The Playground: a conversation with one model through /v1, streamed, with what each answer took.
import { asCode } from "./code.js";
import { Gateway, time } from "./gateway.js";

const form = document.getElementById("playground");
if (form) start(form);

function start(form) {
  const said = form.dataset;
  const chat = document.getElementById("chat");
  const prompt = form.elements.prompt;
  const send = form.querySelector("[data-send]");
  const stop = form.querySelector("[data-stop]");
  const messages = [];
  const gateway = new Gateway(said.baseUrl, said.keyUrl, said.noAnswer);
  let running = null;

  function body(history) {
    const wanted = { model: form.elements.model.value, messages: history };
    const system = form.elements.system.value.trim();
    if (system) wanted.messages = [{ role: "system", content: system }, ...history];
    for (const name of ["temperature", "top_p", "max_tokens", "seed"]) {
      if (form.elements[name].value !== "") wanted[name] = Number(form.elements[name].value);
    }
    if (form.elements.json.checked) wanted.response_format = { type: "json_object" };
    if (form.elements.stream.checked) wanted.stream = true;
    return wanted;
  }

  function turn(who, kind, text = "") {
    document.querySelector("[data-chat-empty]")?.remove();
    const box = document.createElement("div");
    box.className = `turn turn-${kind}`;
    const name = Object.assign(document.createElement("div"), { className: "turn-who", textContent: who });
    const words = Object.assign(document.createElement("div"), { className: "turn-text", textContent: text });
    const facts = Object.assign(document.createElement("div"), { className: "turn-facts" });
    box.append(name, words, facts);
    chat.append(box);
    box.scrollIntoView({ block: "nearest" });
    return { box, words, facts };
  }

  function fact(box, label, value, title = "") {
    const item = document.createElement("span");
    item.append(`${label} `, Object.assign(document.createElement("b"), { textContent: value }));
    if (title) item.title = title;
    box.append(item);
  }

  async function tellFacts(box, requestId) {
    for (let attempt = 0; attempt < 12; attempt += 1) {
      const answer = await fetch(said.factsUrl.replace("REQUEST", requestId));
      if (answer.status === 200) {
        const told = await answer.json();
        fact(box, said.tokens, `${told.input_tokens} → ${told.output_tokens}`);
        fact(box, said.cost, told.cost, told.cost_exact);
        if (told.target) fact(box, said.target, told.target);
        fact(box, said.attempts, told.attempts);
        const link = Object.assign(document.createElement("a"), { className: "link", textContent: said.log });
        link.href = said.logUrl.replace("REQUEST", requestId);
        box.append(link);
        return;
      }
      await new Promise((wake) => setTimeout(wake, 400));
    }
  }

  async function ask(wanted, shown) {
    running = new AbortController();
    let latest = "";
    let frame = null;
    // Once a frame: a fast model would otherwise keep the page too busy to press Stop.
    const draw = () => {
      frame = null;
      shown.words.textContent = latest;
      shown.box.scrollIntoView({ block: "nearest" });
    };
    const outcome = await gateway.ask(wanted, {
      signal: running.signal,
      onFirst: (ms) => fact(shown.facts, said.first, time(ms)),
      onText: (text) => {
        latest = text;
        frame ??= requestAnimationFrame(draw);
      },
    });
    cancelAnimationFrame(frame);
    if (latest) draw();
    if (outcome.stopped) fact(shown.facts, said.stopped, "");
    if (outcome.totalMs !== undefined) fact(shown.facts, said.total, time(outcome.totalMs));
    return outcome;
  }

  async function go() {
    const text = prompt.value.trim();
    if (!text || running) return;
    messages.push({ role: "user", content: text });
    prompt.value = "";
    turn(said.you, "user", text);
    const wanted = body([...messages]);
    const shown = turn(wanted.model, "model");
    shown.words.classList.add("caret");
    send.hidden = true;
    stop.hidden = false;
    let outcome;
    try {
      outcome = await ask(wanted, shown);
    } catch (error) {
      outcome = { error: error.name === "AbortError" ? said.stopped : said.noAnswer };
    }
    running = null;
    send.hidden = false;
    stop.hidden = true;
    shown.words.classList.remove("caret");
    if (outcome.text) messages.push({ role: "assistant", content: outcome.text });
    else messages.pop();
    if (outcome.error) {
      const note = Object.assign(document.createElement("div"), { className: "field-error", textContent: outcome.error });
      shown.words.after(note);
    } else if (!outcome.text) {
      shown.words.textContent = said.empty;
    }
    prompt.focus();
    if (outcome.requestId) await tellFacts(shown.facts, outcome.requestId);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    go();
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      go();
    }
  });
  stop.addEventListener("click", () => running?.abort());
  document.querySelector("[data-clear]").addEventListener("click", () => {
    running?.abort();
    messages.length = 0;
    chat.replaceChildren();
    prompt.focus();
  });
  document.querySelector("[data-show-code]").addEventListener("click", () => {
    const text = prompt.value.trim();
    const history = text ? [...messages, { role: "user", content: text }] : messages;
    const shown = asCode(said.shownUrl, body(history.length ? history : [{ role: "user", content: "…" }]));
    for (const [name, code] of Object.entries(shown)) {
      document.querySelector(`#play-code-${name} code`).textContent = code;
    }
  });
}
