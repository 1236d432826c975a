import { AgentError, errorCode } from '../lib/errors.ts'
import { NoRoomError } from './free-space.ts'

/** Whether the file system, or a quota on it, had no room for more. */
export function isOutOfSpace(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** Says what an operator can do when the file system itself refuses to take more; any other error stays as it is. */
export function explainDiskError(error: unknown, folder: string): unknown {
  if (error instanceof NoRoomError) return error
  switch (errorCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new AgentError(`no space is left for artifacts in ${folder}`, {
        hint: 'free space on this file system or publish a smaller release; the installed one stays until then',
        cause: error,
      })
    case 'EROFS':
      return new AgentError(`${folder} cannot be written`, {
        hint: 'mount the file system of the state folder read-write; check it, a damaged one is mounted read-only',
        cause: error,
      })
    default:
      return error
  }
}
