// One stream per page. The server says only which topic changed; fragments that listen to it
// (hx-trigger="live:usage from:body") fetch themselves anew.
export function startLive() {
  const topics = new Set();
  for (const element of document.querySelectorAll("[hx-trigger*='live:']")) {
    for (const [, topic] of element.getAttribute("hx-trigger").matchAll(/live:([a-z]+)/g)) topics.add(topic);
  }
  if (!topics.size) return;
  const tell = (topic) => window.htmx.trigger(document.body, `live:${topic}`);
  let stream = null;

  function open() {
    stream = new EventSource(`/live?topics=${[...topics].sort().join(",")}`);
    for (const topic of topics) stream.addEventListener(topic, () => tell(topic));
    // What changed before the stream was there, or while it was away, is told by nobody else.
    stream.addEventListener("open", () => topics.forEach(tell));
  }

  function close() {
    stream?.close();
    stream = null;
  }

  // A browser keeps few connections to one host: a tab that nobody looks at lets go of its own.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
    } else if (!stream) {
      open();
    }
  });
  window.addEventListener("pagehide", close);
  if (!document.hidden) open();
}
