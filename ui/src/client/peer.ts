import type { Candidate, IceServer } from './protocol';
import { withStartBitrate } from './sdp';
import RtpWorker from './rtp.worker?worker&inline';
import type { PeerState } from './session';

/** Enough for 1280×720 to begin near its full size. */
const START_KBPS = 1500;

export interface PeerEvents {
  answered(sdp: string): void;
  gathered(candidate: Candidate): void;
  state(state: PeerState): void;
  /** A picture comes back on the same connection. */
  returned(stream: MediaStream): void;
  /** A frame left the encoder with this RTP timestamp, at this Unix time in milliseconds. */
  encoded(timestamp: number, at: number): void;
  failed(message: string): void;
}

/** Our end of the WebRTC connection: one video track, answering the server's offers; one may come back. */
export class Peer {
  readonly #connection: RTCPeerConnection;
  readonly #events: PeerEvents;
  readonly #sender: RTCRtpSender;
  #watcher: Worker | undefined;
  #queue: Promise<void> = Promise.resolve();

  /** Throws if the browser refuses the servers' addresses. */
  constructor(stream: MediaStream, track: MediaStreamTrack, iceServers: readonly IceServer[], events: PeerEvents) {
    this.#events = events;
    this.#connection = new RTCPeerConnection({ iceServers: [...iceServers], bundlePolicy: 'max-bundle' });
    this.#connection.onicecandidate = ({ candidate }) => {
      events.gathered({
        candidate: candidate?.candidate ?? '',
        sdpMid: candidate?.sdpMid ?? null,
        sdpMLineIndex: candidate?.sdpMLineIndex ?? null,
      });
    };
    this.#connection.onconnectionstatechange = () => {
      const state = this.#connection.connectionState;
      if (state === 'connected' || state === 'disconnected' || state === 'failed') events.state(state);
    };
    track.contentHint = 'motion';
    this.#connection.ontrack = ({ track: returned }) => events.returned(new MediaStream([returned]));
    // It also receives if the server's offer has a picture to send back.
    this.#sender = this.#connection.addTrack(track, stream);
    this.#watchFrames();
  }

  accept(sdp: string): void {
    this.#enqueue(async () => {
      await this.#connection.setRemoteDescription({ type: 'offer', sdp: withStartBitrate(sdp, START_KBPS) });
      await this.#connection.setLocalDescription();
      this.#events.answered(this.#connection.localDescription?.sdp ?? '');
      await this.#preferFrameRate();
    });
  }

  add(candidate: Candidate): void {
    if (candidate.candidate === '') return;
    this.#enqueue(async () => {
      try {
        await this.#connection.addIceCandidate(candidate);
      } catch (error) {
        // One unusable candidate does not matter while others work; if none does, ICE fails and says so.
        console.warn('sightline: a candidate of the server was refused', error);
      }
    });
  }

  /** Sends this track from now on. */
  replace(track: MediaStreamTrack): void {
    // Refused only once the connection is closed.
    if (this.#sender.track !== track) this.#sender.replaceTrack(track).catch(() => undefined);
  }

  close(): void {
    this.#connection.onicecandidate = null;
    this.#connection.onconnectionstatechange = null;
    this.#connection.ontrack = null;
    this.#connection.close();
    this.#watcher?.terminate();
  }

  /** What is measured of the connection, for the panel. */
  stats(): Promise<RTCStatsReport> {
    return this.#connection.getStats();
  }

  /** Without it, in an old browser, boxes come all the same: only which frame they belong to stays unknown. */
  #watchFrames(): void {
    if (typeof RTCRtpScriptTransform === 'undefined') return;
    this.#watcher = new RtpWorker();
    this.#watcher.onmessage = ({ data }: MessageEvent<readonly [number, number]>) => this.#events.encoded(...data);
    this.#sender.transform = new RTCRtpScriptTransform(this.#watcher);
  }

  /** Descriptions and candidates are applied one after another, in the order they came. */
  #enqueue(work: () => Promise<void>): void {
    this.#queue = this.#queue.then(work).catch((error: unknown) => {
      if (this.#connection.signalingState !== 'closed') this.#events.failed(String(error));
    });
  }

  /** For detection a coarser picture now is worth more than a sharp one late. */
  async #preferFrameRate(): Promise<void> {
    const parameters = this.#sender.getParameters();
    parameters.degradationPreference = 'maintain-framerate';
    try {
      await this.#sender.setParameters(parameters);
    } catch {
      // A browser without it balances by itself.
    }
  }
}
