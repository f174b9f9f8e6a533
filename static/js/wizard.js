// Adding a machine: the token's countdown, and a first message to the machine once it takes requests.
import { Gateway, time } from "./gateway.js";

const wizard = document.querySelector("[data-wizard]");
// The page with a new token answered a POST: reloading it must not make another token.
if (wizard.dataset.shownOnce) history.replaceState(null, "", wizard.dataset.shownOnce);

const clock = wizard.querySelector("[data-countdown]");
if (clock) {
  const endsAt = Date.parse(clock.dataset.countdown);
  const told = clock.textContent;
  const tick = () => {
    const left = Math.max(Math.round((endsAt - Date.now()) / 1000), 0);
    const hours = Math.floor(left / 3600);
    const rest = `${String(Math.floor((left % 3600) / 60)).padStart(hours ? 2 : 1, "0")}:${String(left % 60).padStart(2, "0")}`;
    clock.textContent = hours < 24 ? clock.dataset.left.replace("TIME", hours ? `${hours}:${rest}` : rest) : told;
    clock.classList.toggle("text-warning", left < 60);
    if (left) return;
    clearInterval(timer);
    wizard.toggleAttribute("data-over", true);
    window.htmx.trigger(document.body, "live:nodes");
  };
  const timer = setInterval(tick, 1000);
  tick();
}

let gateway = null;

async function ask(form) {
  const said = form.dataset;
  const prompt = form.elements.prompt.value.trim();
  const shown = form.querySelector(".try-answer");
  const [words, facts] = shown.children;
  const button = form.querySelector("button[type=submit]");
  if (!prompt || button.disabled) return;
  gateway ??= new Gateway("/v1", said.keyUrl, said.noAnswer);
  shown.hidden = false;
  button.disabled = true;
  words.textContent = "";
  words.classList.add("caret");
  facts.replaceChildren();
  const fact = (label, value) => facts.append(Object.assign(document.createElement("span"), { textContent: `${label} ${value}` }));
  const wanted = { model: form.elements.model.value, stream: true, max_tokens: 256, messages: [{ role: "user", content: prompt }] };
  let outcome;
  try {
    outcome = await gateway.ask(wanted, {
      onFirst: (ms) => fact(said.first, time(ms)),
      onText: (text) => { words.textContent = text; },
    });
  } catch {
    outcome = { error: said.noAnswer };
  }
  words.classList.remove("caret");
  button.disabled = false;
  if (outcome.totalMs !== undefined) fact(said.total, time(outcome.totalMs));
  if (outcome.error || !outcome.text) words.textContent = outcome.error || said.empty;
  words.classList.toggle("text-error", Boolean(outcome.error));
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-try]")) return;
  event.preventDefault();
  ask(event.target);
});
