import type { Config } from '../config/config-schema.ts'
import { forEachConcurrent } from '../lib/for-each-concurrent.ts'
import type { Log } from '../lib/log.ts'
import type { CameraFile } from './camera-file.ts'
import type { CameraFiles } from './camera-files.ts'
import type { CameraGroups } from './camera-groups.ts'
import type { SealedCameras } from './sealed-cameras.ts'

export interface LastCredentialsDeps {
  readonly cameras: Pick<Config['cameras'], 'streams'>
  readonly files: CameraFiles
  readonly copies: SealedCameras
  readonly groups: CameraGroups
  /** Called with what is in the file of each camera that has one, as soon as it is there. */
  readonly onFile: (name: string, file: CameraFile) => void
  readonly log: Log
}

const concurrency = 8

/**
 * What cameras need before anything is asked of the network: each that has no file, as after a reboot, gets one from its
 * sealed copy. After that, files and copies of earlier versions, or under another key, are made anew. To be run while
 * nothing else writes to either. A camera that cannot be served holds up no other; never throws.
 */
export async function serveLastCredentials(deps: LastCredentialsDeps, signal: AbortSignal): Promise<void> {
  const { cameras, files, copies, log } = deps
  const names = cameras.streams.map(({ name }) => name)
  try {
    await files.prepare(names)
  } catch (error) {
    log.warn('the folder of camera files cannot be made', { error }) // the worker tries again, and reports it
    return
  }
  if (names.length > 0) await copies.prepare()
  await copies.keep(names)
  const served = await serve(deps, signal)
  if (served > 0) log.info('cameras have their last credentials, from sealed copies', { cameras: served })
  await forEachConcurrent(names, concurrency, async (name) => {
    if (!signal.aborted) await renew(deps, name)
  })
}

/** How many were written. */
async function serve({ cameras, files, copies, groups, onFile, log }: LastCredentialsDeps, signal: AbortSignal) {
  let served = 0
  const isLate = (): boolean => signal.aborted
  await forEachConcurrent(cameras.streams, concurrency, async ({ name, group }) => {
    if (isLate()) return
    const file = await files.read(name)
    if (file !== undefined) {
      onFile(name, file)
      return
    }
    const copy = await copies.read(name)
    if (copy === undefined) return
    try {
      const gid = group === undefined ? undefined : await groups.idOf(group)
      if (isLate()) return // what was too slow must not replace what came meanwhile
      await files.write(name, copy, gid)
      served += 1
      onFile(name, copy)
    } catch (error) {
      log.warn('a camera does not get its last credentials', { camera: name, error })
    }
  })
  return served
}

async function renew({ files, copies, log }: LastCredentialsDeps, name: string): Promise<void> {
  try {
    await files.upgrade(name)
  } catch (error) {
    log.warn('the file of a camera stays as an earlier version wrote it', { camera: name, error })
  }
  const file = await files.read(name)
  if (file !== undefined) await copies.renew(name, file)
}
