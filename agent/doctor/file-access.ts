import { stat } from 'node:fs/promises'

import { errorCode } from '../lib/errors.ts'
import { fail, type Outcome } from './doctor-check.ts'

/** The user that the service runs as, with every group that it gets. */
export interface ServiceUser {
  readonly name: string
  readonly uid: number
  readonly gids: readonly number[]
}

/** Whether a user may read a file; `unknown` where there is no such file to ask about. */
export interface FileAccess {
  readonly path: string
  readonly user: string
  readonly access: 'readable' | 'denied' | 'unknown'
}

const readBit = 0o4

/**
 * Whether the service may read a file, by its owner and mode; folders on the way are not looked at. Root reads everything, so
 * that what root finds readable tells nothing of the agent.
 */
export async function serviceAccess(path: string, user: ServiceUser): Promise<FileAccess> {
  try {
    const { uid, gid, mode } = await stat(path)
    const bits = uid === user.uid ? mode >> 6 : user.gids.includes(gid) ? mode >> 3 : mode
    const isReadable = user.uid === 0 || (bits & readBit) !== 0
    return { path, user: user.name, access: isReadable ? 'readable' : 'denied' }
  } catch (error) {
    return { path, user: user.name, access: errorCode(error) === 'EACCES' ? 'denied' : 'unknown' }
  }
}

export function fileOutcomes(files: readonly FileAccess[]): readonly Outcome[] {
  return files
    .filter(({ access }) => access === 'denied')
    .map(({ path, user }) =>
      fail(
        `${path} cannot be read by ${user}, which the agent runs as`,
        `chown ${user} ${path}, or give it the group of ${user} and mode 0640`,
      ),
    )
}
