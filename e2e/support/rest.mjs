// A client of the REST API.

import assert from 'node:assert/strict';
import { until } from './wait.mjs';

export class Api {
  #system;

  constructor(system) {
    this.#system = system;
  }

  url(path) {
    return `${this.#system.url}/api/v1/${path}`;
  }

  /** What there is at this address; it must be there. */
  async get(path, options = {}) {
    const response = await fetch(this.url(path), options);
    assert.equal(response.status, 200, path);
    return response.json();
  }

  async post(body) {
    const headers = { 'Content-Type': 'application/json' };
    const response = await fetch(this.url('sessions'), { method: 'POST', headers, body: JSON.stringify(body) });
    return { response, json: await response.json() };
  }

  /** A session that was started. */
  async started(body) {
    const { response, json } = await this.post(body);
    assert.equal(response.status, 201, JSON.stringify(json));
    assert.equal(response.headers.get('location'), `/api/v1/sessions/${json.id}`);
    return json;
  }

  session(id) {
    return this.get(`sessions/${id}`);
  }

  stop(id) {
    return this.get(`sessions/${id}`, { method: 'DELETE' });
  }

  async ended(id, seconds) {
    return until(`the end of session ${id}`, seconds, async () => {
      const seen = await this.session(id);
      return seen.ended_us !== null && seen;
    });
  }

  /** Its predictions from now on, and the session as it ended; `last` is the number of the last event. */
  async follow(id) {
    const response = await fetch(this.url(`sessions/${id}/predictions`));
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    const predictions = [];
    let text = '';
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      const events = (text + piece).split('\n\n');
      text = events.pop();
      for (const { event, data, id: last } of events.map(fields)) {
        if (event === 'prediction') predictions.push(JSON.parse(data));
        if (event === 'end') return { predictions, end: JSON.parse(data), last };
      }
    }
    throw new Error(`the predictions of ${id} ended without an event that says so`);
  }
}

/** The fields of one event; comments are left out. */
function fields(text) {
  const lines = text.split('\n').filter((line) => line && !line.startsWith(':'));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]));
}
