// Renews the content of elements with data-refresh="address" every data-every="seconds", or once.
// What the server says when it cannot is shown in its place.

import { element } from "./dom.js";

async function renew(node) {
  try {
    const answer = await fetch(node.dataset.refresh, { redirect: "manual", headers: { Accept: "text/html" } });
    if (answer.type === "opaqueredirect") return location.reload(); // the session has ended
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const message = page.querySelector("main .message");
    node.replaceChildren(...(message ? [element("p", { class: "problem" }, message.textContent)] : page.body.childNodes));
    node.classList.remove("old");
  } catch {
    node.classList.add("old");
  }
  if (node.dataset.every) setTimeout(renew, 1000 * node.dataset.every, node);
}

document.querySelectorAll("[data-refresh]").forEach(renew);
