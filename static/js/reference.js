// Redoc asks its maker's server for a logo. Images come from here or not at all: it is told that this one failed,
// leaves it out, and the browser has nothing to block.
const image = HTMLImageElement.prototype;
const { get, set } = Object.getOwnPropertyDescriptor(image, "src");
const { setAttribute } = Element.prototype;

image.setAttribute = function (name, value) {
  if (name === "src") this.src = value;
  else setAttribute.call(this, name, value);
};

Object.defineProperty(image, "src", {
  get,
  set(address) {
    if (isElsewhere(address)) setTimeout(() => this.dispatchEvent(new Event("error")));
    else set.call(this, address);
  },
});

function isElsewhere(address) {
  const url = new URL(address, location.href);
  return url.protocol !== "data:" && url.origin !== location.origin;
}
