// Copies what the browser needs out of node_modules, so that nothing is fetched from elsewhere at run time.
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, "..", "..", "node_modules");
const plex = "@fontsource-variable/ibm-plex-sans";
const thai = "@fontsource/ibm-plex-sans-thai";
const mono = "@fontsource/ibm-plex-mono";

const files = {
  [`${plex}/files/ibm-plex-sans-latin-wght-normal.woff2`]: "fonts/plex-sans-latin.woff2",
  [`${plex}/files/ibm-plex-sans-latin-ext-wght-normal.woff2`]: "fonts/plex-sans-latin-ext.woff2",
  [`${plex}/LICENSE`]: "fonts/LICENSE",
  "chart.js/dist/chart.umd.min.js": "chart.umd.min.js",
  "chart.js/LICENSE.md": "chart.LICENSE.md",
  "axe-core/axe.min.js": "../../tests/e2e/vendor/axe.min.js",
};
for (const weight of [400, 500, 600]) {
  files[`${thai}/files/ibm-plex-sans-thai-thai-${weight}-normal.woff2`] = `fonts/plex-thai-${weight}.woff2`;
}
for (const weight of [400, 500]) {
  files[`${mono}/files/ibm-plex-mono-latin-${weight}-normal.woff2`] = `fonts/plex-mono-${weight}.woff2`;
}

for (const [from, to] of Object.entries(files)) {
  const target = join(here, to);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(join(modules, from), target);
}

// A manifest storage looks every referenced file up; the source map is not shipped.
const chart = join(here, "chart.umd.min.js");
writeFileSync(chart, readFileSync(chart, "utf8").replace(/\/\/# sourceMappingURL=.*\s*$/, ""));
