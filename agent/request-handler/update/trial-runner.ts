import { chmodSync, copyFileSync, existsSync, linkSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

import { removeDurably, syncEntry, writeDurably } from './durable.ts'
import type { UpdateFolder } from './update-folder.ts'
import type { UpdatePlaces } from './update-places.ts'

export const runnerUnit = 'panorama-agent-update.service'

/**
 * Puts what runs a trial where the upgrade of the package does not reach it: the runtime and the program beside the
 * packages, and the unit among the administrator's, started at each boot. It is the installed version that watches the
 * new one, whatever the new one brings.
 */
export function placeRunner({ programs, units }: UpdatePlaces, { program }: UpdateFolder): void {
  rmSync(program, { recursive: true, force: true })
  mkdirSync(program, { mode: 0o700 })
  shareFile(join(programs, 'node'), join(program, 'node'))
  shareFile(join(programs, 'native', 'update-runner.cjs'), join(program, 'update-runner.cjs'))
  syncEntry(program)
  writeDurably(join(units, runnerUnit), readFileSync(join(programs, runnerUnit), 'utf8'))
  const wants = join(units, 'multi-user.target.wants')
  mkdirSync(wants, { recursive: true })
  rmSync(join(wants, runnerUnit), { force: true })
  symlinkSync(join('..', runnerUnit), join(wants, runnerUnit))
  syncEntry(wants)
}

/** Whether systemd can start it. */
export function isRunnerPlaced({ units }: UpdatePlaces): boolean {
  return existsSync(join(units, runnerUnit))
}

/** Takes it away again; a runner that runs goes on. The unit goes first: it must not start what is gone. */
export function removeRunner({ units }: UpdatePlaces, { program }: UpdateFolder): void {
  rmSync(join(units, 'multi-user.target.wants', runnerUnit), { force: true })
  removeDurably(join(units, runnerUnit))
  removeDurably(program)
}

/** dpkg replaces files by a rename, so a second name keeps the bytes; only another file system needs a copy. */
function shareFile(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to)
    chmodSync(to, 0o700)
    syncEntry(to)
  }
}
