// Dividing a share: a slider beside each number, and what the two leave for rewards.
const form = document.querySelector("[data-division]");
const rest = form.querySelector("output");
const parts = [...form.querySelectorAll("[data-slides]")].map((slider) => ({
  slider,
  field: document.getElementById(slider.dataset.slides),
}));

const percentOf = ({ field }) => Math.max(field.valueAsNumber || 0, 0);
const left = () => parts.reduce((most, part) => most - percentOf(part), 100);

function show() {
  rest.textContent = left() < 0 ? "–" : `${left()} %`;
  for (const part of parts) part.slider.value = percentOf(part);
}

for (const part of parts) {
  const least = Number(part.slider.step); // the smallest part there can be
  part.slider.hidden = false;
  part.slider.addEventListener("input", () => {
    const most = Math.max(left() + percentOf(part), 0);
    const wanted = Math.min(part.slider.valueAsNumber, most);
    part.field.value = wanted < least ? 0 : wanted;
    show();
  });
  part.field.addEventListener("input", show);
}
show();
