import type { Source } from '../client/client';
import type { Problem } from '../client/protocol';

/** Chromium's name, and Firefox's. Safari has neither. */
interface CapturableVideo extends HTMLVideoElement {
  captureStream?(): MediaStream;
  mozCaptureStream?(): MediaStream;
}

/** Plays a file of the user's in a loop, from memory of this browser: the file itself is not uploaded. */
export async function openFile(file: File | undefined): Promise<Source | Problem> {
  if (!file) return { id: 'no-file', message: '' };
  const video: CapturableVideo = document.createElement('video');
  const capture = video.captureStream ?? video.mozCaptureStream;
  if (!capture) return { id: 'file-unsupported', message: '' };
  video.muted = true;
  video.loop = true;
  video.playsInline = true;
  video.src = URL.createObjectURL(file);
  const close = () => {
    video.pause();
    URL.revokeObjectURL(video.src);
    video.removeAttribute('src');
    video.load();
  };
  try {
    await video.play();
  } catch (error) {
    close();
    return { id: 'file-unreadable', message: `${file.name}: ${error instanceof Error ? error.message : String(error)}` };
  }
  const stream = capture.call(video);
  const [track] = stream.getVideoTracks();
  if (!track) {
    close();
    return { id: 'file-unreadable', message: `${file.name}: no video in it` };
  }
  for (const audio of stream.getAudioTracks()) audio.stop();
  return {
    stream,
    track,
    close: () => {
      track.stop();
      close();
    },
  };
}
