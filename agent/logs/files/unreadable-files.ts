import { errorCode } from '../../lib/errors.ts'
import type { RotatedFile } from './rotated-files.ts'

export interface UnreadableFile extends RotatedFile {
  readonly error: unknown
  /** Whether its lines are still to come, and no gap record tells of them. */
  readonly isAwaited: boolean
}

const maxUnreadable = 64

/** Rotated files that this process may not read: they are told of while they are there, and hold up nothing. */
export class UnreadableFiles {
  readonly #files = new Map<string, UnreadableFile>()

  get all(): readonly UnreadableFile[] {
    return [...this.#files.values()]
  }

  /** What `open` answers; undefined, and noted, when the file may not be read. Throws what else `open` throws. */
  async tryOpen<T>(
    { location, fileId, stats }: RotatedFile,
    { open, isAwaited }: { readonly open: (location: string) => Promise<T | undefined>; readonly isAwaited: boolean },
  ): Promise<T | undefined> {
    try {
      const file = await open(location)
      this.#files.delete(fileId)
      return file
    } catch (error) {
      if (!['EACCES', 'EPERM'].includes(errorCode(error) ?? '')) throw error
      if (this.#files.has(fileId) || this.#files.size < maxUnreadable) {
        const isStillAwaited = isAwaited || this.#files.get(fileId)?.isAwaited === true
        this.#files.set(fileId, { location, fileId, stats, error, isAwaited: isStillAwaited })
      }
      return undefined
    }
  }

  has(fileId: string): boolean {
    return this.#files.has(fileId)
  }

  forget(fileId: string): void {
    this.#files.delete(fileId)
  }
}
