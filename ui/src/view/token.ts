import { element, field } from './dom';

const KEY = 'sightline-token';
const IN_ADDRESS = /^#token=([\w.-]+)$/;

/** The page's token: out of its address (`#token=…`, which no server is sent), or typed in; kept until the tab is closed. */
export class Token {
  readonly #dialog = element('dialog', { class: 'token card', 'aria-label': 'Token' });
  readonly #input = element('input', { type: 'password', autocomplete: 'off', required: true, 'data-testid': 'token' });

  constructor() {
    const given = IN_ADDRESS.exec(location.hash)?.[1];
    if (given) {
      sessionStorage.setItem(KEY, given);
      // Not for the history, nor for who looks over the shoulder.
      history.replaceState(null, '', location.pathname + location.search);
    }
    const words = element('p', {}, 'This server wants to know who you are. Whoever runs it gives out tokens, which are good for some minutes.');
    const use = element('button', { type: 'submit', class: 'primary' }, 'Use it');
    const cancel = element('button', { type: 'button' }, 'Not now');
    cancel.addEventListener('click', () => this.#dialog.close());
    const form = element('form', { method: 'dialog' }, words, field('Token', this.#input), element('div', { class: 'buttons' }, use, cancel));
    form.addEventListener('submit', () => {
      sessionStorage.setItem(KEY, this.#input.value.trim());
      location.reload();
    });
    this.#dialog.append(form);
  }

  get root(): HTMLElement {
    return this.#dialog;
  }

  get value(): string | undefined {
    return sessionStorage.getItem(KEY) ?? undefined;
  }

  /** The server wants one, or another one. */
  ask(): void {
    if (this.#dialog.open) return;
    this.#input.value = '';
    this.#dialog.showModal();
  }
}
