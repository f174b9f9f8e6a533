// One stream per page. The server says only which topic changed; fragments that listen to it
// (hx-trigger="live:usage from:body") fetch themselves anew.
export function startLive() {
  const topics = new Set();
  for (const element of document.querySelectorAll("[hx-trigger*='live:']")) {
    for (const [, topic] of element.getAttribute("hx-trigger").matchAll(/live:([a-z]+)/g)) topics.add(topic);
  }
  if (!topics.size) return;
  const stream = new EventSource(`/live?topics=${[...topics].sort().join(",")}`);
  for (const topic of topics) {
    stream.addEventListener(topic, () => window.htmx.trigger(document.body, `live:${topic}`));
  }
  window.addEventListener("pagehide", () => stream.close());
}
