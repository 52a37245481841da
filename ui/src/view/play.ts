/** Shows a stream, or nothing. */
export function play(video: HTMLVideoElement, stream: MediaStream | null): void {
  video.srcObject = stream;
  // Refused only where the user forbids muted videos too; the session is not harmed by it.
  if (stream) video.play().catch(() => undefined);
}
