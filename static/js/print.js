// The browser's own dialog prints, or saves as PDF.
document.querySelector("[data-print]")?.addEventListener("click", () => window.print());
