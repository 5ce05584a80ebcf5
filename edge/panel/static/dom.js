// Makes elements from values; texts are never read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

export function replaceChildren(node, ...children) {
  node.replaceChildren(...children);
}

export function text(node, value) {
  const shown = String(value);
  if (node.textContent !== shown) node.textContent = shown;
}
