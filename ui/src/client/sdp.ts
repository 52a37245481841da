/**
 * The server's offer, asking our own browser to start at `kbps`.
 *
 * Chromium begins every connection at 300 kbit/s and scales the picture down to fit, for the first seconds to a
 * quarter of a camera's width: too coarse to find anything small. It reads this wish from the other side's codec
 * parameters, and lowers the rate by itself where the network cannot carry it. Other browsers ignore it.
 */
export function withStartBitrate(offer: string, kbps: number): string {
  const wish = `x-google-start-bitrate=${kbps}`;
  const sections = offer.split(/(?=^m=)/m).map((section) => {
    if (!section.startsWith('m=video')) return section;
    const told = new Set<string>();
    const withParameters = section.replace(/^a=fmtp:(\d+) ([^\r\n]*)/gm, (line, payload: string, parameters: string) => {
      told.add(payload);
      return /(^|;\s*)apt=/.test(parameters) ? line : `${line};${wish}`;
    });
    return withParameters.replace(/^a=rtpmap:(\d+) (VP8|VP9|H264|H265|AV1)\/[^\r\n]*(\r?\n)/gm, (line, payload: string, _codec, end: string) =>
      told.has(payload) ? line : `${line}a=fmtp:${payload} ${wish}${end}`,
    );
  });
  return sections.join('');
}
