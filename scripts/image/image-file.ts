import { lstat, readlink } from 'node:fs/promises'
import { join } from 'node:path'

import { errorCode } from '../../agent/lib/errors.ts'
import type { ImageUser } from './image-user.ts'

/** A file of an image, as its programs will find it. */
export type ImageFile =
  | { readonly state: 'missing' }
  /** `at` is what the user may not read or go through, as a path of the image. */
  | { readonly state: 'denied'; readonly at: string }
  /** `hostPath` is where it is on this machine. */
  | { readonly state: 'readable'; readonly hostPath: string }

const maxLinks = 40 // as the kernel has it: path_resolution(7)
const readBit = 0o4
const searchBit = 0o1

/** The package gives them owner and mode (tmpfiles.d), whatever they have before; the root has those of where it is made. */
const notLookedAt = new Set(['/', '/etc/panorama-agent', '/etc/panorama-agent/identity', '/etc/panorama-agent/claim'])

/**
 * Looks a file up below the root of an image, absolute links taken as the image's own, never one of this machine, and
 * whether a user can read it by owner, group and mode. Throws what the file system says but for what is not there.
 */
export async function findImageFile(root: string, path: string, user: ImageUser): Promise<ImageFile> {
  const rest = partsOf(path)
  let at: readonly string[] = []
  let denied: string | undefined
  for (let links = 0; ;) {
    const entry = await lstatOrUndefined(join(root, ...at))
    if (entry === undefined) return { state: 'missing' }
    const shown = `/${at.join('/')}`
    if (entry.isSymbolicLink()) {
      links += 1
      if (links > maxLinks) return { state: 'missing' }
      const target = await readlink(join(root, ...at))
      rest.unshift(...partsOf(target))
      at = target.startsWith('/') ? [] : at.slice(0, -1)
      continue
    }
    const isEnd = rest.length === 0
    if (!(isEnd ? mayUse(entry, user, readBit) : notLookedAt.has(shown) || mayUse(entry, user, searchBit)))
      denied ??= shown
    if (isEnd) {
      if (!entry.isFile()) return { state: 'missing' }
      return denied === undefined ? { state: 'readable', hostPath: join(root, ...at) } : { state: 'denied', at: denied }
    }
    const name = rest.shift() ?? ''
    at = name === '..' ? at.slice(0, -1) : [...at, name]
  }
}

interface Owned {
  readonly uid: number
  readonly gid: number
  readonly mode: number
}

function mayUse({ uid, gid, mode }: Owned, user: ImageUser, bit: number): boolean {
  const bits = uid === user.uid ? mode >> 6 : user.gids.includes(gid) ? mode >> 3 : mode
  return (bits & bit) !== 0
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

async function lstatOrUndefined(path: string) {
  return await lstat(path).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined
    throw error
  })
}
