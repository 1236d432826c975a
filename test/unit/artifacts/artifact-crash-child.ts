import { parseArgs } from 'node:util'

import { createArtifactWorker } from '../../../agent/artifacts/artifact-worker.ts'
import { createLog } from '../../../agent/lib/log.ts'
import { FakeArtifactSource } from '../../support/fake-artifact-source.ts'

/** One pass in a process of its own, to be killed. Writes the key of every object that it opens to standard output. */
const { folder = '', seed = '' } = parseArgs({
  options: { folder: { type: 'string' }, seed: { type: 'string' } },
}).values
const source = new FakeArtifactSource()
for (let index = 0; index < 20; index += 1) source.put(`folder-${index % 3}/${index}`, `${seed} ${index}`.repeat(1500))
source.beforeOpen = ({ key }) => {
  process.stdout.write(`${key}\n`)
}
const artifact = { name: 'app', accessPoint: 'unused', prefix: '', pollSeconds: 300, keepReleases: 2, trustedKeys: [] }
const log = createLog({ level: 'error', sinks: [] })
const { worker } = createArtifactWorker({ artifact, source, folder, log, concurrency: 3 })
const requested = worker.requestPass()
const controller = new AbortController()
const ended = worker.supervise(controller.signal)
await requested
controller.abort()
await ended
