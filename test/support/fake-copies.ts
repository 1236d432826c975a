import type { CameraFile } from '../../agent/cameras/camera-file.ts'
import type { LastKnownGood, SealingStatus } from '../../agent/cameras/last-known-good.ts'

/** Copies in memory. */
export class FakeCopies implements LastKnownGood {
  readonly held = new Map<string, CameraFile>()

  readonly read = async (name: string): Promise<CameraFile | undefined> => await Promise.resolve(this.held.get(name))

  readonly write = async (name: string, file: CameraFile): Promise<void> => {
    await Promise.resolve(this.held.set(name, file))
  }

  readonly keep = async (names: readonly string[]): Promise<void> => {
    for (const name of this.held.keys()) if (!names.includes(name)) this.held.delete(name)
    await Promise.resolve()
  }

  readonly status = (): SealingStatus => ({ key: 'file' })
}
