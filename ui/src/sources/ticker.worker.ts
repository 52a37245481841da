/** Timers of a page in the background fire once a second; a worker's go on at full speed. */
self.onmessage = ({ data }: MessageEvent<number>) => {
  setInterval(() => self.postMessage(null), data);
};
