// <span data-until="1767225600.5">: the seconds that are left, counted down; at the end the page is shown anew.
const shown = [...document.querySelectorAll("[data-until]")];

function tick() {
  const left = shown.map((item) => Math.max(0, Math.ceil(Number(item.dataset.until) + 1 - Date.now() / 1000)));
  shown.forEach((item, index) => { item.textContent = left[index]; });
  if (left.some((seconds) => seconds === 0)) location.reload();
  else setTimeout(tick, 500);
}

if (shown.length) tick();
