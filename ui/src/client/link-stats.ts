import { asFields, asNumber, asText, type Fields } from './validate';

/** What the browser counts of a connection's video. */
export interface LinkStats {
  readonly width?: number | undefined;
  readonly height?: number | undefined;
  readonly fps?: number | undefined;
  /** Bits per second since the last report. */
  readonly bitrate?: number | undefined;
  readonly roundTripMs?: number | undefined;
  /** Packets that did not arrive, 0..1. */
  readonly loss?: number | undefined;
  /** Frames that were encoded since the start. */
  readonly encoded?: number | undefined;
  /** Why the picture is smaller than it could be: `bandwidth` or `cpu`. */
  readonly limitation?: string | undefined;
}

/** Reads reports of `RTCPeerConnection.getStats()`, one after another. */
export class LinkReader {
  #last: { readonly bytes: number; readonly at: number } | undefined;

  read(report: Iterable<readonly [string, unknown]>): LinkStats {
    const all = [...report].flatMap(([, one]): Fields[] => [asFields(one) ?? {}]);
    const of = (type: string) => all.find((one) => one['type'] === type && (one['kind'] ?? 'video') === 'video');
    const video = of('outbound-rtp') ?? of('inbound-rtp');
    const remote = of('remote-inbound-rtp');
    const pair = all.find((one) => one['type'] === 'candidate-pair' && one['nominated'] === true);
    const roundTrip = asNumber(remote?.['roundTripTime']) ?? asNumber(pair?.['currentRoundTripTime']);
    const limitation = asText(video?.['qualityLimitationReason']);
    return {
      width: asNumber(video?.['frameWidth']),
      height: asNumber(video?.['frameHeight']),
      fps: asNumber(video?.['framesPerSecond']),
      bitrate: video && this.#bitrate(video),
      roundTripMs: roundTrip === undefined ? undefined : roundTrip * 1000,
      loss: asNumber(remote?.['fractionLost']),
      encoded: asNumber(video?.['framesEncoded']),
      limitation: limitation === 'bandwidth' || limitation === 'cpu' ? limitation : undefined,
    };
  }

  reset(): void {
    this.#last = undefined;
  }

  #bitrate(video: Fields): number | undefined {
    const bytes = asNumber(video['bytesSent']) ?? asNumber(video['bytesReceived']);
    const at = asNumber(video['timestamp']);
    if (bytes === undefined || at === undefined) return undefined;
    const last = this.#last;
    this.#last = { bytes, at };
    return last && at > last.at && bytes >= last.bytes ? ((bytes - last.bytes) * 8000) / (at - last.at) : undefined;
  }
}
