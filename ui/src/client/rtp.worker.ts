/** Tells the RTP timestamp of each encoded frame on its way out, and passes it on untouched. */
interface EncodedFrame {
  getMetadata(): { readonly rtpTimestamp?: number };
}

interface TransformEvent extends globalThis.Event {
  readonly transformer: { readonly readable: ReadableStream<EncodedFrame>; readonly writable: WritableStream<EncodedFrame> };
}

self.addEventListener('rtctransform', (event) => {
  const { readable, writable } = (event as TransformEvent).transformer;
  const watch = new TransformStream<EncodedFrame, EncodedFrame>({
    transform(frame, controller) {
      const { rtpTimestamp } = frame.getMetadata();
      if (rtpTimestamp !== undefined) self.postMessage([rtpTimestamp, performance.timeOrigin + performance.now()]);
      controller.enqueue(frame);
    },
  });
  // It ends with the connection.
  readable.pipeThrough(watch).pipeTo(writable).catch(() => undefined);
});
