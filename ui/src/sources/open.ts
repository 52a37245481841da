import type { Source } from '../client/client';
import type { Problem } from '../client/protocol';
import type { SourceKind } from '../client/session';
import { openCamera } from './camera';
import { openFile } from './file';
import { openTestPicture } from './test-picture';

export async function openSource(kind: SourceKind, file: File | undefined): Promise<Source | Problem> {
  switch (kind) {
    case 'camera':
      return openCamera();
    case 'file':
      return openFile(file);
    case 'test':
      return openTestPicture();
  }
}
