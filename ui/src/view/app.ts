import { Rest } from '../client/rest';
import type { State } from '../client/session';
import { Dashboard } from './dashboard';
import { element, setText } from './dom';
import { LivePage } from './live-page';
import { themePicker } from './theme';
import { Token } from './token';
import { connectionOf } from './words';

const DASHBOARD = '#/dashboard';

/** The frame of the page: its head, and one of two pages below. A session goes on while the other is looked at. */
export class SightlineApp extends HTMLElement {
  readonly #badge = element('span', { class: 'badge', 'data-testid': 'connection' });
  readonly #token = new Token();
  readonly #rest = new Rest(new URL('./', document.baseURI), () => this.#token.value);
  readonly #live = new LivePage(this.#rest, () => this.#token.value, (state) => this.#changed(state));
  readonly #dashboard = new Dashboard(this.#rest);
  readonly #links = [element('a', { href: '#/' }, 'Session'), element('a', { href: DASHBOARD }, 'Dashboard')];

  connectedCallback(): void {
    if (this.firstChild) return;
    const nav = element('nav', { 'aria-label': 'Pages' }, ...this.#links);
    const title = element('h1', {}, element('span', { class: 'logo', 'aria-hidden': 'true' }), element('span', { class: 'name' }, 'Sightline'));
    const header = element('header', {}, title, nav, this.#badge);
    const privacy = element('p', {}, 'While live, your video goes to this page’s server and is not stored.');
    this.append(header, this.#live.root, this.#dashboard.root, element('footer', {}, privacy, themePicker()), this.#token.root);
    addEventListener('hashchange', () => this.#route());
    this.#route();
    void this.#begin();
  }

  async #begin(): Promise<void> {
    const asked = await this.#rest.get('pipelines');
    if ('problem' in asked && asked.problem.id === 'unauthenticated') this.#token.ask();
    await this.#live.begin(new URLSearchParams(location.search));
  }

  #route(): void {
    const dashboard = location.hash === DASHBOARD;
    this.#live.root.hidden = dashboard;
    this.#dashboard.shown = dashboard;
    this.#links.forEach((link, i) => {
      if (dashboard === (i === 1)) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    });
    document.title = dashboard ? 'Dashboard – Sightline' : 'Sightline';
  }

  #changed(state: State): void {
    this.dataset['state'] = state.name;
    setText(this.#badge, connectionOf(state));
    if (state.name === 'failed' && state.problem.id === 'unauthenticated') this.#token.ask();
  }
}
