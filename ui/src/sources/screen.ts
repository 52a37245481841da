import type { Source } from '../client/client';
import type { Problem } from '../client/protocol';

export async function openScreen(): Promise<Source | Problem> {
  if (!('mediaDevices' in navigator)) return { id: 'insecure-origin', message: location.origin };
  if (!('getDisplayMedia' in navigator.mediaDevices)) return { id: 'screen-unsupported', message: '' };
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } }, audio: false });
    const [track] = stream.getVideoTracks();
    return track ? { stream, track, close: () => track.stop() } : { id: 'screen-failed', message: '' };
  } catch (error) {
    return screenProblem(error);
  }
}

export function screenProblem(error: unknown): Problem {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { id: name === 'NotAllowedError' ? 'screen-refused' : 'screen-failed', message };
}
