type Attributes = Readonly<Record<string, string | boolean>>;

/** An element with attributes and children. Text is always text, never HTML. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children);
  return node;
}

/** Writes only what changed, so that screen readers are not told the same again. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** A labelled control, with a line of explanation below. */
export function field(name: string, control: HTMLElement, doc = ''): HTMLLabelElement {
  return element('label', { class: 'field' }, element('span', {}, name), control, ...(doc ? [element('small', {}, doc)] : []));
}
