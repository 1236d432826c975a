import { existsSync } from 'node:fs'

import { runProgram } from '../run-program.ts'
import type { InstallUpdateOptions } from './install-update.ts'
import { isRunnerPlaced, removeRunner, runnerUnit } from './trial-runner.ts'
import { startingIn, UpdateFolder } from './update-folder.ts'

const systemctlWithinMs = 30_000

/**
 * Starts the runner of an update that a run before this one was cut off at: it goes on from where the trial stands, or takes
 * itself away where there is none. Throws when it cannot be started; it is due until it is.
 */
export async function resumeUpdate({ update, owner, systemctl, print }: InstallUpdateOptions): Promise<void> {
  if (!existsSync(startingIn(update.folder))) return
  const folder = new UpdateFolder(update.folder, owner)
  if (!isRunnerPlaced(update)) {
    folder.abandon()
    removeRunner(update, folder)
    return
  }
  const fault = await runProgram({
    file: systemctl,
    args: ['start', '--no-block', runnerUnit], // at a boot it may have to wait for much else
    withinMs: systemctlWithinMs,
    onLine: (line) => {
      print(`systemctl: ${line}`)
    },
  })
  if (fault !== undefined) throw new Error(`${runnerUnit} cannot be started: ${fault}`)
  folder.startIsMade()
  print('an update that was cut off before it began goes on')
}
