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

export async function openCamera(deviceId?: string): Promise<Source | Problem> {
  // Browsers hide the whole interface from pages that came over plain http from another machine.
  if (!('mediaDevices' in navigator)) return { id: 'insecure-origin', message: location.origin };
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: deviceId ? { ...CAMERA, deviceId: { exact: deviceId } } : CAMERA, audio: false });
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

export interface Camera {
  readonly id: string;
  readonly name: string;
}

/** The cameras that the browser tells of; before it was allowed to use one, that is none with a name. */
export async function listCameras(): Promise<Camera[]> {
  if (!('mediaDevices' in navigator)) return [];
  const devices = await navigator.mediaDevices.enumerateDevices();
  const cameras = devices.filter(({ kind, deviceId }) => kind === 'videoinput' && deviceId);
  return cameras.map(({ deviceId, label }, i) => ({ id: deviceId, name: label || `Camera ${i + 1}` }));
}
