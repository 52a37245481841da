const LOOK_MS = 2000;

/**
 * Shows what others send, or nothing. Chromium now and then decodes a remote track's frames and hands none of them out, to
 * nobody: `dark` is told, for another connection helps.
 */
export function play(video: HTMLVideoElement, stream: MediaStream | null, dark: () => void): void {
  video.srcObject = stream;
  if (!stream) return;
  video.play().catch(() => undefined);
  setTimeout(() => {
    if (video.srcObject === stream && video.readyState === HTMLMediaElement.HAVE_NOTHING) dark();
  }, LOOK_MS);
}
