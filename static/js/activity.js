// Stacked bars over time, in the theme's colours. A bar leads to the requests behind it, where the page knows them.
const data = JSON.parse(document.getElementById("chart-data")?.textContent ?? "null");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let chart = null;

function shown(value) {
  if (data.unit !== "$") return value.toLocaleString();
  return `$${value.toLocaleString(undefined, { maximumSignificantDigits: 4 })}`;
}

function behind(event) {
  const [bar] = chart.getElementsAtEventForMode(event, "nearest", { intersect: true }, false);
  return bar && data.links ? data.links[bar.index] + (data.series[bar.datasetIndex].narrow ?? "") : "";
}

function draw() {
  chart?.destroy();
  const { Chart } = window;
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  Chart.defaults.color = colour("--muted");
  const grid = { color: colour("--color-base-300"), drawTicks: false };
  chart = new Chart(document.getElementById("chart"), {
    type: "bar",
    data: {
      labels: data.labels,
      datasets: data.series.map((series, index) => ({
        label: series.label,
        data: series.data,
        backgroundColor: colour(`--series-${Math.min(index + 1, 7)}`),
        borderRadius: 2,
        maxBarThickness: 36,
      })),
    },
    options: {
      maintainAspectRatio: false,
      animation: false,
      interaction: { mode: "index", intersect: false },
      onClick: (event) => behind(event) && window.location.assign(behind(event)),
      onHover: (event) => (event.native.target.style.cursor = behind(event) ? "pointer" : ""),
      scales: {
        x: { stacked: true, grid: { display: false }, border: { display: false }, ticks: { maxRotation: 0, autoSkipPadding: 16 } },
        y: { stacked: true, beginAtZero: true, grid, border: { display: false }, ticks: { maxTicksLimit: 5, callback: shown, padding: 8 } },
      },
      plugins: {
        legend: { position: "bottom", align: "start", labels: { boxWidth: 10, boxHeight: 10, padding: 16 } },
        tooltip: { callbacks: { label: (item) => ` ${item.dataset.label}: ${shown(item.raw)}` }, filter: (item) => item.raw > 0 },
      },
    },
  });
}

if (data) {
  document.fonts.ready.then(draw);
  document.addEventListener("themechange", draw);
}
