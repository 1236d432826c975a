import type { BigIntStats } from 'node:fs'

import { fileIdOf } from './file-identity.ts'
import type { FollowedFile } from './followed-file.ts'
import type { LineFormat } from '../events/line-format.ts'
import type { LogCursor } from '../log-cursors.ts'
import { openFollowedFile, type FollowedFileOptions } from './open-followed-file.ts'
import { findByFileId, findRotated, type RotatedFile } from './rotated-files.ts'
import { UnreadableFiles } from './unreadable-files.ts'

export interface FileOpenerDeps {
  readonly path: string
  readonly format: LineFormat
  /** Whether any path follows the file. */
  readonly isFollowed: (stats: BigIntStats) => boolean
  /** Whether another path is still to go on with the file, from a cursor. */
  readonly isAwaited: (stats: BigIntStats) => boolean
}

export type OpenOptions = Pick<FollowedFileOptions, 'cursor' | 'fileId' | 'writtenClock'>

/** How often what rotation moves on meanwhile is looked for again. */
export const maxTries = 5

/** Opens the files of a path, wherever rotation has put them. All methods throw the file system's error. */
export class FileOpener {
  /** Those that it found and may not read. */
  readonly unreadable = new UnreadableFiles()
  readonly #deps: FileOpenerDeps

  constructor(deps: FileOpenerDeps) {
    this.#deps = deps
  }

  /** As `openFollowedFile`. */
  async openAt(location: string, options: OpenOptions): Promise<FollowedFile | undefined> {
    const { path, format } = this.#deps
    return await openFollowedFile({ path, format, location, ...options })
  }

  /**
   * Opens a rotated file, and no other that is in its place by now; one that may not be read is noted. `isAwaited`: whether its
   * lines are to be read once it can be.
   */
  async tryOpen(
    place: RotatedFile,
    { isAwaited = false, ...options }: OpenOptions & { readonly isAwaited?: boolean },
  ): Promise<FollowedFile | undefined> {
    return await this.unreadable.tryOpen(place, {
      isAwaited,
      open: (location) => this.openAt(location, { ...options, fileId: place.fileId }),
    })
  }

  /** The file that a cursor is about, or else a copy of it; `atPath` is what is at the path now. */
  async findRest(cursor: LogCursor, atPath?: BigIntStats): Promise<FollowedFile | 'unreadable' | undefined> {
    const { path, isFollowed } = this.#deps
    for (let tries = 0; tries < maxTries; tries += 1) {
      const place = await findByFileId(path, cursor.fileId)
      if (place === undefined || isFollowed(place.stats)) break
      const { location, fileId } = place
      const isLive = atPath !== undefined && fileIdOf(atPath) === fileId
      const file = isLive ? await this.openAt(location, { cursor, fileId }) : await this.tryOpen(place, { cursor })
      if (file !== undefined) return file
      if (this.unreadable.has(fileId)) return 'unreadable'
    }
    return cursor.headBytes === 0 ? undefined : await this.findCopy(cursor)
  }

  /** The newest rotated file with the same content as far as the cursor. */
  async findCopy(
    cursor: LogCursor,
    options: Pick<FollowedFileOptions, 'writtenClock'> = {},
  ): Promise<FollowedFile | undefined> {
    for (const place of (await findRotated(this.#deps.path)).toReversed()) {
      if (this.#deps.isFollowed(place.stats) || this.#deps.isAwaited(place.stats)) continue
      const file = await this.tryOpen(place, { cursor, ...options })
      if (file !== undefined) return file
    }
    return undefined
  }
}
