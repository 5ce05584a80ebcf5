// Renews the content of elements with data-refresh="address" every data-every="seconds", or once.
// What the server says when it cannot is shown in its place.

import { element } from "./dom.js";

const shown = new WeakMap();

async function renew(node) {
  try {
    const answer = await fetch(node.dataset.refresh, { redirect: "manual", headers: { Accept: "text/html" } });
    if (answer.type === "opaqueredirect") return location.reload(); // the session has ended
    const content = await answer.text();
    // Nothing new: what a person has opened, focused or scrolled to stays as it is.
    if (shown.get(node) !== content) replace(node, content);
    shown.set(node, content);
    node.classList.remove("old");
  } catch {
    node.classList.add("old");
  }
  if (node.dataset.every) setTimeout(renew, 1000 * node.dataset.every, node);
}

function replace(node, content) {
  const page = new DOMParser().parseFromString(content, "text/html");
  const message = page.querySelector("main .message");
  const before = [...node.querySelectorAll("pre, ol")].map((one) => [one.scrollTop, one === document.activeElement]);
  node.replaceChildren(...(message ? [element("p", { class: "problem" }, message.textContent)] : page.body.childNodes));
  node.querySelectorAll("pre, ol").forEach((one, place) => {
    const [top, isFocused] = before[place] ?? [0, false];
    one.scrollTop = top;
    if (isFocused) one.focus();
  });
}

document.querySelectorAll("[data-refresh]").forEach(renew);
