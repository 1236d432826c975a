import { applianceWorld } from './appliance-world.ts'
import { runTrial } from './run-trial.ts'
import { UpdateFolder } from './update-folder.ts'
import { realUpdatePlaces } from './update-places.ts'

/**
 * The service that takes an update to its end, as root: started by the request handler, and at each boot while there is a
 * trial. Runs from a copy, because it replaces the package that it came in. SIGTERM ends it after the step that it is at.
 */
async function main(): Promise<void> {
  const end = new AbortController()
  process.on('SIGTERM', () => {
    end.abort()
  })
  const world = applianceWorld({
    folder: new UpdateFolder(realUpdatePlaces.folder, { uid: 0, gid: 0 }),
    update: realUpdatePlaces,
    systemctl: 'systemctl',
    nowMs: () => Date.now(),
    print: (line) => {
      process.stdout.write(`${line}\n`)
    },
  })
  await runTrial(world, end.signal).catch((error: unknown) => {
    if (!end.signal.aborted) throw error
  })
}

void main()
