// A second click soon after sends no second form: its answer would take the place of the first one.

const SOON_MS = 10_000; // whoever stopped the first one may send it again
let sent = new WeakMap();

addEventListener("pageshow", () => {
  sent = new WeakMap(); // a page that comes back from another may send its forms again
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return; // a script sends it
  const now = performance.now();
  if (now - (sent.get(form) ?? -Infinity) < SOON_MS) event.preventDefault();
  else sent.set(form, now);
});
