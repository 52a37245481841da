// A Prometheus of the test's own, with the project's rules.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Program } from './processes.mjs';
import { root } from './system.mjs';
import { freePort, until } from './wait.mjs';

export class Prometheus {
  #folder = mkdtempSync(join(tmpdir(), 'sightline-prometheus-'));
  #program;
  #url;

  /** Scrapes `targets` (`host:port`) each second, found by a file as an operator names them, and judges the rules. */
  static async start(targets) {
    const prometheus = new Prometheus();
    cpSync(join(root, 'docker/prometheus'), prometheus.#folder, { recursive: true });
    const found = JSON.stringify([{ targets }]);
    writeFileSync(join(prometheus.#folder, 'targets/hosts.yml'), found);
    const port = await freePort();
    prometheus.#url = `http://127.0.0.1:${port}`;
    prometheus.#program = new Program(process.env.PROMETHEUS ?? 'prometheus', [
      `--config.file=${join(prometheus.#folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(prometheus.#folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
    try {
      await until('Prometheus is ready', 20, () => prometheus.#ready());
    } catch (error) {
      console.error(prometheus.#program.log);
      await prometheus.stop();
      throw error;
    }
    return prometheus;
  }

  async #ready() {
    try {
      return (await fetch(`${this.#url}/-/ready`)).ok;
    } catch {
      return false;
    }
  }

  /** The series that a query gives now: `{ metric, value }`. */
  async query(query) {
    const response = await fetch(`${this.#url}/api/v1/query?${new URLSearchParams({ query })}`);
    const answer = await response.json();
    assert.equal(answer.status, 'success', `${query}: ${answer.error}`);
    return answer.data.result;
  }

  /** The names of the alerts that fire. */
  async firing() {
    const response = await fetch(`${this.#url}/api/v1/alerts`);
    const { data } = await response.json();
    return data.alerts.filter(({ state }) => state === 'firing').map(({ labels }) => labels.alertname);
  }

  async stop() {
    this.#program.kill('SIGTERM');
    await this.#program.ended(10).catch(() => this.#program.destroy());
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
