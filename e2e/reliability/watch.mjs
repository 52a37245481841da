// What publishers are told, judged line by line: whose boxes they are, in which order they come, and for how long they do not.

import { framesApart, numberOfBox } from '../support/numbered.mjs';

/** Of so many frames a prediction may still come; most are never inferred. */
const REMEMBERED = 20_000;

export class Watch {
  predictions = 0;
  /** Predictions that are another frame's, that came twice or late, and that nobody could read. */
  wrong = [];
  disorder = [];
  unreadable = 0;
  latencies = [];
  #last = new Map();
  /** By session: when a frame was sent whose prediction came last, and when it last was told that it is over; Unix time in ms. */
  #answered = new Map();
  #over = new Map();
  #sent = new Map();

  /** Takes a line of a publisher; `name` tells one publisher's sessions from another's. */
  take(name, line) {
    const session = `${name}${line.session}`;
    if (line.what === 'sent') {
      this.#sent.set(`${session}/${line.attempt}/${line.rtp}`, line.at / 1000);
      if (this.#sent.size > REMEMBERED) this.#sent.delete(this.#sent.keys().next().value);
    }
    if (line.what === 'over') this.#over.set(session, { at: line.at / 1000, why: line });
    if (line.what === 'prediction') this.#judge(session, line);
  }

  #judge(session, line) {
    this.predictions += 1;
    const place = `${session}/${line.attempt}`;
    const words = `${place}: seq ${line.seq}, frame ${line.frame}`;
    const before = this.#last.get(place) ?? -1;
    if (!(line.seq > before)) this.disorder.push(`${words} after seq ${before}`);
    this.#last.set(place, line.seq);
    const sent = this.#sent.get(`${place}/${line.rtp}`);
    this.#sent.delete(`${place}/${line.rtp}`);
    if (line.frame === null || sent === undefined) {
      this.wrong.push(`${words}: of no frame that was sent`);
      return;
    }
    this.latencies.push({ at: line.at / 1000, ms: line.latency_ms });
    const seen = numberOfBox(line);
    if (seen === undefined) this.unreadable += 1;
    else if (framesApart(seen, line.frame) !== 0) this.wrong.push(`${words}, and the box is of ${seen}`);
    this.#answered.set(session, Math.max(this.#answered.get(session) ?? 0, sent));
  }

  /** True if a frame was answered that this session sent after that moment. */
  isAnswered(session, since) {
    return (this.#answered.get(session) ?? 0) > since;
  }

  /** What the session was told after that moment, if it was told that it is over. */
  isTold(session, since) {
    const over = this.#over.get(session);
    return over && over.at >= since ? over.why : undefined;
  }
}
