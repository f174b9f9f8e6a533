// The page with a new key answered a POST: reloading it must not make another key.
const page = document.querySelector("[data-shown-once]");
history.replaceState(null, "", page.dataset.shownOnce);
