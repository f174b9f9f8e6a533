// Behaviour that every page shares. Pages work without it; it saves clicks.
import { startLive } from "./live.js";
import { startPalette } from "./palette.js";

const text = document.body.dataset;

async function copy(button) {
  const from = button.dataset.copyFrom && document.getElementById(button.dataset.copyFrom);
  const shown = from && (from.querySelector("[role=tabpanel]:not([hidden])") || from);
  await navigator.clipboard.writeText(shown ? shown.innerText.trimEnd() : button.dataset.copy);
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1600);
}

function selectTab(tab) {
  for (const other of tab.parentElement.querySelectorAll("[role=tab]")) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !chosen;
  }
}

export function openDialog(id) {
  const dialog = document.getElementById(id);
  if (dialog && !dialog.open) dialog.showModal();
}

export function toast(message, level = "error") {
  const item = document.createElement("div");
  item.className = `toast-item tone-${level === "error" ? "bad" : "ok"}`;
  item.dataset.toast = "";
  item.textContent = message;
  document.getElementById("toasts").append(item);
  dismissLater(item);
}

function dismissLater(item) {
  setTimeout(() => item.remove(), 7000);
}

function setTheme(theme) {
  const day = 86400;
  if (theme) {
    document.documentElement.dataset.theme = theme;
    document.cookie = `theme=${theme}; path=/; max-age=${365 * day}; samesite=lax`;
  } else {
    delete document.documentElement.dataset.theme;
    document.cookie = "theme=; path=/; max-age=0; samesite=lax";
  }
  document.querySelector("meta[name=color-scheme]").content = theme || "light dark";
  document.dispatchEvent(new CustomEvent("themechange"));
}

document.addEventListener("click", (event) => {
  const on = (selector) => event.target.closest(selector);
  for (const menu of document.querySelectorAll("details.menu-box[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  if (on("[data-copy], [data-copy-from]")) copy(on("[data-copy], [data-copy-from]"));
  if (on("[role=tab][aria-controls]")) selectTab(on("[role=tab]"));
  if (on("[data-dismiss]")) on("[data-toast]")?.remove();
  if (on("[data-open]")) openDialog(on("[data-open]").dataset.open);
  if (on("[data-close]")) on("dialog")?.close();
  if (event.target.matches("dialog.sheet")) event.target.close();
  if (on("[data-shortcuts]")) openDialog("shortcuts");
  const row = on("tr");
  if (row && !on("a, button, input, label, summary") && !window.getSelection().toString()) {
    row.querySelector("a.row-link")?.click();
  }
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-theme-form]")) return;
  event.preventDefault();
  setTheme(event.submitter?.value || "");
  event.target.closest("details").open = false;
});

document.addEventListener("change", (event) => {
  if (event.target.closest("form[data-auto]")) event.target.form.requestSubmit();
  if (event.target.matches("[data-tick-all]")) {
    for (const box of event.target.form.querySelectorAll("input[name=node]")) box.checked = event.target.checked;
  }
  const shows = event.target.dataset.shows;
  if (shows) document.getElementById(shows).hidden = !event.target.checked;
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    for (const menu of document.querySelectorAll("details.menu-box[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  }
  if (event.target.matches("[role=tab]") && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
    const tabs = [...event.target.parentElement.querySelectorAll("[role=tab]")];
    const next = tabs.at((tabs.indexOf(event.target) + (event.key === "ArrowRight" ? 1 : -1)) % tabs.length);
    next.focus();
    selectTab(next);
  }
  const typing = event.target.matches("input, textarea, select, [contenteditable]");
  if (typing || event.metaKey || event.ctrlKey || event.altKey) return;
  if (event.key === "?") openDialog("shortcuts");
  if (event.key === "/") {
    const search = document.querySelector("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

// A dialog that arrives by htmx opens itself; one that a link asked for opens on load.
document.addEventListener("htmx:load", (event) => {
  for (const dialog of event.target.parentElement?.querySelectorAll("dialog[data-autoopen]:not([open])") ?? []) {
    dialog.showModal();
  }
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target.matches?.("dialog.sheet") && !event.target.open) event.target.showModal();
});
document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  toast(status === 401 || status === 403 ? text.signedOut : text.failed);
});
document.addEventListener("htmx:sendError", () => toast(text.failed));

if (navigator.platform.startsWith("Mac")) {
  for (const key of document.querySelectorAll("[data-mod-key]")) key.textContent = "⌘ K";
}
document.querySelectorAll("[data-toast]").forEach(dismissLater);
startPalette();
startLive();
