import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'

import type { StoreFiles } from '../../agent/identity/identity-store.ts'
import { AgentError } from '../../agent/lib/errors.ts'

/** A disk that fails for a while, and no process that ends by that. */
export interface DiskFaults {
  /** Which change fails, counted from now, and how many after it do. */
  failAt: number
  failures: number
}

export const noFaults = (): DiskFaults => ({ failAt: Infinity, failures: 0 })

/** The disk until the power is cut, at the change after the first `cutAt`. Not synced, as nothing there needs it to be. */
export function diskUntil(cutAt: number, faults = noFaults()): StoreFiles {
  let changes = 0
  const change = async (work: () => Promise<unknown>): Promise<void> => {
    changes += 1
    if (changes > cutAt) throw new Error('power cut')
    faults.failAt -= 1
    if (faults.failAt < 0 && faults.failAt >= -faults.failures) {
      throw new AgentError('the disk is full', { retryable: true })
    }
    await work()
  }
  return {
    makeFolder: (path) => change(() => mkdir(path, { recursive: true })),
    write: (path, content) => change(() => writeFile(path, content)),
    link: (path, to) =>
      change(async () => {
        await rm(path, { force: true })
        await symlink(to, path)
      }),
    remove: (path) => change(() => rm(path, { recursive: true, force: true })),
  }
}
