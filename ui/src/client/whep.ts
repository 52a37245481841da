import type { Problem } from './protocol';
import { problemIn, type Rest } from './rest';

const LIMIT_MS = 15_000;

/** Watches the annotated picture of a session by WHEP. */
export class Viewer {
  readonly stream: MediaStream;
  readonly #peer: RTCPeerConnection;
  readonly #rest: Rest;
  readonly #location: string | null;

  private constructor(rest: Rest, stream: MediaStream, peer: RTCPeerConnection, location: string | null) {
    this.#rest = rest;
    this.stream = stream;
    this.#peer = peer;
    this.#location = location;
  }

  /** `lost` is told when the connection fails later. */
  static async open(rest: Rest, session: string, lost: () => void): Promise<Viewer | Problem> {
    const peer = new RTCPeerConnection();
    try {
      peer.addTransceiver('video', { direction: 'recvonly' });
      const arrived = new Promise<MediaStreamTrack>((resolve) => (peer.ontrack = ({ track }) => resolve(track)));
      await peer.setLocalDescription();
      const response = await fetch(new URL(`whep/${encodeURIComponent(session)}`, rest.base), {
        method: 'POST',
        headers: { 'Content-Type': 'application/sdp', ...(await rest.authorization()) },
        body: peer.localDescription?.sdp ?? '',
        signal: AbortSignal.timeout(LIMIT_MS),
      });
      const text = await response.text();
      if (!response.ok) {
        peer.close();
        return problemIn(text, response.status);
      }
      await peer.setRemoteDescription({ type: 'answer', sdp: text });
      peer.onconnectionstatechange = () => {
        if (peer.connectionState === 'failed') lost();
      };
      return new Viewer(rest, new MediaStream([await arrived]), peer, response.headers.get('Location'));
    } catch (error) {
      peer.close();
      return error instanceof TypeError ? { id: 'server-gone', message: '' } : { id: 'negotiation-failed', message: String(error) };
    }
  }

  stats(): Promise<RTCStatsReport> {
    return this.#peer.getStats();
  }

  close(): void {
    this.#peer.onconnectionstatechange = null;
    this.#peer.close();
    // The server notices by itself too, some seconds later.
    if (this.#location) void this.#end(this.#location);
  }

  async #end(location: string): Promise<void> {
    const headers = await this.#rest.authorization();
    await fetch(location, { method: 'DELETE', keepalive: true, headers }).catch(() => undefined);
  }
}
