import { stat } from 'node:fs/promises'

import { AgentError, errorCode } from '../lib/errors.ts'

interface Owner {
  readonly uid: number
  readonly gid: number
}

/** Root would leave files that the agent cannot read: becomes the owner of the state folder, for good. */
export async function becomeOwner(stateFolder: string): Promise<void> {
  const owner = await otherOwner(stateFolder)
  if (owner === undefined) return
  process.setgroups?.([owner.gid])
  process.setgid?.(owner.gid)
  process.setuid?.(owner.uid)
}

/**
 * Does `work` as the owner of the state folder: what root did by name in a folder that somebody else may write would be done
 * wherever a link leads.
 */
export async function asOwner<T>(stateFolder: string, work: () => Promise<T>): Promise<T> {
  const owner = await otherOwner(stateFolder)
  if (owner === undefined) return await work()
  const own = process.getegid?.() ?? 0
  process.setegid?.(owner.gid)
  process.seteuid?.(owner.uid)
  try {
    return await work()
  } finally {
    process.seteuid?.(0)
    process.setegid?.(own)
  }
}

/** Undefined where this is not root, or the folder is root's own. */
async function otherOwner(stateFolder: string): Promise<Owner | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const owner = await stat(stateFolder).catch((cause: unknown) => {
    throw new AgentError(`${stateFolder} is not there (${errorCode(cause) ?? 'unknown error'})`, {
      hint: 'install -d -m 0711 -o panorama-agent -g panorama-agent that folder, or start the agent once',
    })
  })
  return owner.uid === 0 ? undefined : owner
}
