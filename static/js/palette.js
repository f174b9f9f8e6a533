// The palette (⌘K, Ctrl-K): a list of pages and actions, narrowed by what is typed.
export function startPalette() {
  const dialog = document.getElementById("palette");
  if (!dialog) return;
  const input = dialog.querySelector("input");
  const items = [...dialog.querySelectorAll("[role=option]")];
  const none = dialog.querySelector("[data-none]");
  const shown = () => items.filter((item) => !item.hidden);

  function choose(item) {
    for (const other of items) other.setAttribute("aria-selected", other === item);
    if (item) {
      input.setAttribute("aria-activedescendant", item.id);
      item.scrollIntoView({ block: "nearest" });
    } else {
      input.removeAttribute("aria-activedescendant");
    }
  }

  function narrow() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of items) {
      const label = item.textContent.toLowerCase();
      item.hidden = !words.every((word) => label.includes(word));
    }
    none.hidden = shown().length > 0;
    choose(shown()[0]);
  }

  function open() {
    input.value = "";
    narrow();
    dialog.showModal();
  }

  function move(by) {
    const list = shown();
    const at = list.findIndex((item) => item.getAttribute("aria-selected") === "true");
    choose(list.at((at + by) % list.length));
  }

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "k" && (event.metaKey || event.ctrlKey)) {
      event.preventDefault();
      if (dialog.open) dialog.close();
      else open();
    }
  });
  document.querySelectorAll("[data-palette]").forEach((button) => button.addEventListener("click", open));
  input.addEventListener("input", narrow);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      move(event.key === "ArrowDown" ? 1 : -1);
    }
    if (event.key === "Enter") {
      const chosen = dialog.querySelector("[aria-selected=true]");
      if (chosen) location.assign(chosen.dataset.url);
    }
  });
  dialog.addEventListener("click", (event) => {
    const item = event.target.closest("[role=option]");
    if (item) location.assign(item.dataset.url);
    if (event.target === dialog) dialog.close();
  });
}
