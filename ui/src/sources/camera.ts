import type { Source } from '../client/client';
import type { Problem } from '../client/protocol';

/** TypeScript's DOM types lack `resizeMode`. */
interface CameraConstraints extends MediaTrackConstraints {
  readonly resizeMode: 'none';
}

// A size the camera really has, not one the browser scales to: boxes refer to what was sent.
const CAMERA: CameraConstraints = {
  width: { ideal: 1280 },
  height: { ideal: 720 },
  frameRate: { ideal: 30 },
  resizeMode: 'none',
};

export async function openCamera(): Promise<Source | Problem> {
  // Browsers hide the whole interface from pages that came over plain http from another machine.
  if (!('mediaDevices' in navigator)) return { id: 'insecure-origin', message: location.origin };
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: CAMERA, audio: false });
    const [track] = stream.getVideoTracks();
    if (!track) return { id: 'no-camera', message: '' };
    return { stream, track, close: () => track.stop() };
  } catch (error) {
    return cameraProblem(error);
  }
}

const BY_NAME: Readonly<Record<string, string>> = {
  NotAllowedError: 'camera-refused',
  SecurityError: 'camera-refused',
  NotFoundError: 'no-camera',
  OverconstrainedError: 'no-camera',
  NotReadableError: 'camera-busy',
  AbortError: 'camera-busy',
};

export function cameraProblem(error: unknown): Problem {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { id: BY_NAME[name] ?? 'camera-failed', message };
}
