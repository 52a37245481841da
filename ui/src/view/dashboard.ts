import { fetchPipelines } from '../client/pipelines';
import { isRunning, parseSessions, parseWorkers, type Listed, type Rest, type Worker } from '../client/rest';
import { asText } from '../client/validate';
import { Viewer } from '../client/whep';
import { element, setText } from './dom';
import { play } from './play';
import { dropsOf, duration, explain, milliseconds, perSecond } from './words';

const REFRESH_MS = 2000;
const SESSION_COLUMNS = ['Session', 'Pipeline', 'State', 'Duration', 'Rate', 'Latency', 'Frames', 'Not inferred', ''];

/** For the operator: all sessions and workers of the installation. */
export class Dashboard {
  readonly root = element('main', { class: 'dashboard', hidden: true });
  readonly #rest: Rest;
  readonly #problem = element('p', { class: 'problem', role: 'alert', hidden: true });
  readonly #counts = element('p', { class: 'counts', role: 'status' });
  readonly #sessions = element('tbody');
  readonly #workers = element('tbody');
  readonly #pictures = element('input', { type: 'checkbox', 'data-testid': 'pictures' });
  /** Pictures by session; undefined while one is being opened, and where that failed: it is not tried again and again. */
  readonly #viewers = new Map<string, Viewer | undefined>();
  readonly #rows = new Map<string, SessionRow>();
  #watchable: ReadonlySet<string> = new Set();
  #timer: number | undefined;

  constructor(rest: Rest) {
    this.#rest = rest;
    this.#pictures.addEventListener('change', () => void this.#refresh());
    const pictures = element('label', { class: 'switch' }, this.#pictures, ' Show pictures, where a session sends one');
    this.root.append(
      element('div', { class: 'title' }, element('h2', {}, 'Sessions'), this.#counts, pictures),
      this.#problem,
      table(SESSION_COLUMNS, this.#sessions, 'sessions'),
      element('h2', {}, 'Workers'),
      table(['Worker', 'Model', 'About'], this.#workers, 'workers'),
    );
  }

  /** While it is hidden, nothing is asked and nothing is watched. */
  set shown(shown: boolean) {
    this.root.hidden = !shown;
    clearInterval(this.#timer);
    if (shown) {
      void this.#begin();
      this.#timer = self.setInterval(() => void this.#refresh(), REFRESH_MS);
    } else {
      for (const id of [...this.#viewers.keys()]) this.#close(id);
    }
  }

  async #begin(): Promise<void> {
    const pipelines = (await fetchPipelines(this.#rest)) ?? [];
    this.#watchable = new Set(pipelines.flatMap(({ name, watchable }) => (watchable ? name : [])));
    await this.#refresh();
  }

  async #refresh(): Promise<void> {
    const [sessions, workers] = await Promise.all([this.#rest.get('sessions'), this.#rest.get('workers')]);
    if (this.root.hidden) return;
    const failed = [sessions, workers].find((answer) => 'problem' in answer);
    this.#problem.hidden = !failed;
    if (failed && 'problem' in failed) {
      const { what, next } = explain(failed.problem);
      setText(this.#problem, `${what} ${next}`);
    }
    if ('body' in sessions) this.#showSessions(parseSessions(sessions.body));
    if ('body' in workers) this.#showWorkers(parseWorkers(workers.body));
  }

  #showSessions(sessions: readonly Listed[]): void {
    const running = sessions.filter(isRunning);
    setText(this.#counts, `${running.length} running, ${sessions.length - running.length} ended in the last ten minutes`);
    const sorted = [...running, ...sessions.filter((one) => !isRunning(one))];
    const ids = new Set(sorted.map(({ id }) => id));
    for (const [id, row] of this.#rows) {
      if (ids.has(id)) continue;
      this.#close(id);
      row.root.remove();
      this.#rows.delete(id);
    }
    sorted.forEach((session, i) => {
      const row = this.#rows.get(session.id) ?? new SessionRow(session, () => this.#stop(session.id));
      this.#rows.set(session.id, row);
      row.update(session);
      if (this.#sessions.children[i] !== row.root) this.#sessions.insertBefore(row.root, this.#sessions.children[i] ?? null);
      const wanted = this.#pictures.checked && session.state === 'RUNNING' && this.#watchable.has(session.pipeline);
      if (!wanted) this.#close(session.id);
      else if (!this.#viewers.has(session.id)) void this.#open(session.id, row);
    });
    empty(this.#sessions, sorted.length, SESSION_COLUMNS.length, 'No session runs, and none ran in the last ten minutes.');
  }

  #showWorkers(workers: readonly Worker[]): void {
    const rows = workers.map(({ name, info }) => {
      const { model, ...more } = info;
      const about = Object.entries(more).map(([key, value]) => `${key} ${asText(value) ?? ''}`);
      return element('tr', {}, element('th', { scope: 'row' }, name), cell(asText(model) ?? 'not told'), cell(about.join(', ') || '–'));
    });
    this.#workers.replaceChildren(...rows);
    empty(this.#workers, rows.length, 3, 'No worker is registered. Pipelines that infer by themselves need none.');
  }

  #stop(id: string): void {
    void this.#rest.delete(`sessions/${id}`).then(() => this.#refresh());
  }

  async #open(id: string, row: SessionRow): Promise<void> {
    this.#viewers.set(id, undefined);
    const viewer = await Viewer.open(this.#rest, id, () => this.#close(id));
    if (!(viewer instanceof Viewer)) return;
    if (!this.#viewers.has(id)) return viewer.close();
    this.#viewers.set(id, viewer);
    row.show(viewer.stream);
  }

  #close(id: string): void {
    this.#viewers.get(id)?.close();
    this.#viewers.delete(id);
    this.#rows.get(id)?.show(null);
  }
}

/** One session's row; it stays while its values change, so that focus and pictures do too. */
class SessionRow {
  readonly root: HTMLTableRowElement;
  readonly #state = element('td');
  readonly #since = element('td');
  readonly #rate = element('td');
  readonly #latency = element('td');
  readonly #frames = element('td');
  readonly #drops = element('td');
  readonly #stop = element('button', { type: 'button', class: 'small' }, 'Stop');
  readonly #video = element('video', { playsinline: true, hidden: true });

  constructor({ id, pipeline }: Listed, stop: () => void) {
    const short = id.slice(0, 8);
    this.#video.muted = true;
    this.#video.ariaLabel = `The picture of session ${short}`;
    this.#stop.ariaLabel = `Stop session ${short}`;
    this.#stop.addEventListener('click', stop);
    const name = element('th', { scope: 'row', title: id }, element('code', {}, short), this.#video);
    const cells = [cell(pipeline), this.#state, this.#since, this.#rate, this.#latency, this.#frames, this.#drops, element('td', {}, this.#stop)];
    // For narrow screens, where the table has no head.
    cells.forEach((one, i) => (one.dataset['title'] = SESSION_COLUMNS[i + 1]));
    this.root = element('tr', {}, name, ...cells);
  }

  update(session: Listed): void {
    const { state, created, ended, fps, latency, frames, dropped, restarts, error } = session;
    this.root.dataset['session'] = state;
    setText(this.#state, `${state.toLowerCase()}${restarts > 0 ? `, restarted ${restarts}×` : ''}${error ? `: ${explain(error).what}` : ''}`);
    setText(this.#since, duration((ended ?? Date.now()) - created));
    setText(this.#rate, perSecond(fps));
    setText(this.#latency, milliseconds(latency));
    setText(this.#frames, String(frames));
    setText(this.#drops, dropsOf(dropped));
    this.#stop.hidden = !isRunning(session);
  }

  show(stream: MediaStream | null): void {
    this.#video.hidden = stream === null;
    play(this.#video, stream);
  }
}

function table(titles: readonly string[], body: HTMLTableSectionElement, id: string): HTMLElement {
  const head = element('tr', {}, ...titles.map((title) => (title ? element('th', { scope: 'col' }, title) : element('td'))));
  const inner = element('table', { 'data-testid': id }, element('thead', {}, head), body);
  return element('div', { class: 'card scroll', tabindex: '0', role: 'region', 'aria-label': id }, inner);
}

function empty(body: HTMLTableSectionElement, rows: number, columns: number, text: string): void {
  const old = body.querySelector('.none');
  if (rows > 0) old?.parentElement?.remove();
  else if (!old) body.append(element('tr', {}, element('td', { class: 'none', colspan: String(columns) }, text)));
}

function cell(text: string): HTMLElement {
  return element('td', {}, text);
}
