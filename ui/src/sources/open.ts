import type { Source } from '../client/client';
import type { Problem } from '../client/protocol';
import type { SourceKind } from '../client/session';
import { openCamera } from './camera';
import { openFile } from './file';
import { openScreen } from './screen';
import { openTestPicture } from './test-picture';

/** What was chosen besides the kind. */
export interface Choice {
  readonly file: File | undefined;
  /** A camera's `deviceId`; undefined: whichever the browser takes. */
  readonly camera: string | undefined;
}

export async function openSource(kind: SourceKind, { file, camera }: Choice): Promise<Source | Problem> {
  switch (kind) {
    case 'camera':
      return openCamera(camera);
    case 'screen':
      return openScreen();
    case 'file':
      return openFile(file);
    case 'test':
      return openTestPicture();
    case 'address':
    case 'watch':
      return { id: 'not-here', message: '' };
  }
}
