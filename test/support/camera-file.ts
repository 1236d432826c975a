import type { CameraFile } from '../../agent/cameras/camera-file.ts'

/** A camera's file, with `change` on top. */
export function cameraFile(change: Partial<CameraFile> = {}): CameraFile {
  return {
    username: 'admin',
    password: 'hunter2',
    streamUrl: 'rtsp://10.0.0.5/',
    streamUrlWithCredentials: 'rtsp://admin:hunter2@10.0.0.5/',
    versionId: 'v1',
    changedAt: '2027-01-01T00:00:00.000Z',
    ...change,
  }
}
