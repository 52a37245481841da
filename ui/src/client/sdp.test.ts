import { expect, it } from 'vitest';
import { withStartBitrate } from './sdp';

const lines = (...all: string[]) => all.map((line) => `${line}\r\n`).join('');

it('asks for a start bitrate in each video codec, and nowhere else', () => {
  const offer = lines(
    'v=0',
    'm=audio 9 UDP/TLS/RTP/SAVPF 111',
    'a=rtpmap:111 OPUS/48000/2',
    'a=fmtp:111 minptime=10',
    'm=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99',
    'a=rtpmap:96 VP8/90000',
    'a=rtpmap:97 rtx/90000',
    'a=fmtp:97 apt=96',
    'a=rtpmap:98 H264/90000',
    'a=fmtp:98 packetization-mode=1',
    'a=rtpmap:99 ulpfec/90000',
  );
  expect(withStartBitrate(offer, 1500)).toBe(
    offer
      .replace('VP8/90000\r\n', 'VP8/90000\r\na=fmtp:96 x-google-start-bitrate=1500\r\n')
      .replace('packetization-mode=1', 'packetization-mode=1;x-google-start-bitrate=1500'),
  );
});

it('leaves an offer without video as it is', () => {
  expect(withStartBitrate('v=0\r\n', 1500)).toBe('v=0\r\n');
});
