import { Peer } from './peer';
import { parseServerMessage, type Candidate, type ClientMessage, type IceServer } from './protocol';
import type { Event } from './session';

/** Milliseconds after the start of the first questions for the server's time; then one each period. */
const FIRST_PROBES_MS = [0, 250, 500];
const PROBE_PERIOD_MS = 5000;

export interface LinkEvents {
  /** A picture comes back. */
  returned(stream: MediaStream): void;
  /** A frame left the encoder with this RTP timestamp, at this Unix time in milliseconds. */
  encoded(timestamp: number, at: number): void;
}

/** One connection to the server: the socket and, once it has offered, the peer connection. Never reused. */
export class Link {
  readonly #socket: WebSocket;
  readonly #emit: (event: Event) => void;
  readonly #events: LinkEvents;
  #peer: Peer | undefined;
  /** Candidates that came before the offer. */
  #early: Candidate[] = [];
  #timers: number[] = [];
  #closed = false;

  constructor(url: URL, emit: (event: Event) => void, events: LinkEvents) {
    this.#events = events;
    this.#emit = (event) => {
      // What a discarded connection still has to say concerns nobody.
      if (!this.#closed) emit(event);
    };
    this.#socket = new WebSocket(url);
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = () => this.#emit({ type: 'socket-closed' });
  }

  send(message: ClientMessage): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  accept(sdp: string, iceServers: readonly IceServer[], stream: MediaStream, track: MediaStreamTrack): void {
    try {
      this.#peer ??= new Peer(stream, track, iceServers, {
        answered: (answer) => this.#emit({ type: 'answered', sdp: answer }),
        gathered: (candidate) => this.#emit({ type: 'gathered', candidate }),
        state: (state) => this.#emit({ type: 'peer', state }),
        returned: (returned) => this.#events.returned(returned),
        encoded: (timestamp, at) => this.#events.encoded(timestamp, at),
        failed: (message) => this.#emit({ type: 'negotiation-failed', message }),
      });
    } catch (error) {
      this.#emit({ type: 'negotiation-failed', message: String(error) });
      return;
    }
    this.#peer.accept(sdp);
    for (const candidate of this.#early.splice(0)) this.#peer.add(candidate);
  }

  /** Has this track sent from now on. */
  replace(track: MediaStreamTrack): void {
    this.#peer?.replace(track);
  }

  addCandidate(candidate: Candidate): void {
    if (this.#peer) this.#peer.add(candidate);
    else this.#early.push(candidate);
  }

  stats(): Promise<RTCStatsReport> | undefined {
    return this.#peer?.stats();
  }

  startClock(): void {
    if (this.#timers.length > 0) return;
    const probe = () => this.send({ type: 'Stats', data: { t0: performance.timeOrigin + performance.now() } });
    this.#timers = FIRST_PROBES_MS.map((ms) => self.setTimeout(probe, ms));
    this.#timers.push(self.setInterval(probe, PROBE_PERIOD_MS));
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#peer?.close();
    this.#socket.close();
  }

  #receive(data: unknown): void {
    if (typeof data !== 'string') return;
    const parsed = parseServerMessage(data);
    if (parsed.kind === 'message') this.#emit({ type: 'message', message: parsed.message });
    else if (parsed.kind === 'malformed') console.warn(`sightline: ignored a message of the server: ${parsed.why}`);
  }
}
