import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mock } from 'node:test'

import { CameraFiles } from '../agent/cameras/camera-files.ts'
import { CameraWorker } from '../agent/cameras/camera-worker.ts'
import { startCloud } from '../test/cloud/cloud.ts'
import { AgentProcess, agentCommand } from '../test/support/agent-process.ts'
import { createApplianceFiles } from '../test/support/appliance-files.ts'
import { camerasConfig } from '../test/support/cameras-config.ts'
import { fakeCameraGroups } from '../test/support/fake-camera-groups.ts'
import { FakeCopies } from '../test/support/fake-copies.ts'
import { FakeSecretReader } from '../test/support/fake-secret-reader.ts'
import { RecordingLog } from '../test/support/recording-log.ts'
import { startRtspCamera } from '../test/support/rtsp-camera.ts'
import { runCommand } from '../test/support/run-command.ts'
import { running } from '../test/support/running-worker.ts'
import { waitUntil } from '../test/support/wait-until.ts'

/**
 * Counts the calls of a day at rest, by the worker itself on a simulated clock with a reader in memory, beside one
 * GetSecretValue for each camera and interval; and measures on real processes how long a changed secret takes to its
 * file. Prints figures; never fails on them.
 */
const dayMs = 86_400_000
const refreshSeconds = 300
const rounds = 15
const secretId = 'panorama/shared/dock-1'
const username = 'viewer'

for (const count of [1, 20, 100]) await countCalls(count)
for (const isProbed of [false, true]) await timeRefresh(isProbed)

async function countCalls(count: number): Promise<void> {
  await using resources = new AsyncDisposableStack()
  const folder = await temporaryFolder(resources)
  const names = Array.from({ length: count }, (_, index) => `dock-${index}`)
  const reader = new FakeSecretReader()
  for (const name of names) reader.set(name, { versionId: 'v1', text: `${username}:password` })
  const { worker } = new CameraWorker({
    cameras: camerasConfig({ refreshSeconds, streams: names.map((name) => ({ name, secretId: name })) }),
    thingName: 'panorama_bench',
    reader,
    probe: () => Promise.reject(new Error('a camera without a stream URL is not asked')),
    files: new CameraFiles(join(folder, 'run')),
    copies: new FakeCopies(),
    groups: fakeCameraGroups(),
    hooks: { changed: () => undefined },
    ledgerPath: join(folder, 'refusals.json'),
    cloudNow: () => Date.now(),
    log: new RecordingLog(),
  })
  using clock = simulatedClock()
  await using _ = running(worker)
  const restsAgain = async (passes: number): Promise<void> => {
    while (worker.health().passes <= passes || worker.health().nextPassMs === undefined) await turn()
  }
  await restsAgain(0)
  const atStart = reader.batches.length + reader.singles.length
  const startMs = clock.nowMs()
  while (clock.nowMs() < startMs + dayMs) {
    const { passes, nextPassMs = 0 } = worker.health()
    clock.pass(nextPassMs - clock.nowMs() + 1)
    await restsAgain(passes)
  }
  const calls = reader.batches.length + reader.singles.length - atStart
  const peer = (count * dayMs) / (refreshSeconds * 1000)
  console.log(
    `${count} cameras: ${calls} calls a day at rest; one GetSecretValue each: ${peer} (${(peer / calls).toFixed(1)} times)`,
  )
}

async function timeRefresh(isProbed: boolean): Promise<void> {
  await using resources = new AsyncDisposableStack()
  const cloud = resources.use(await startCloud())
  const camera = resources.use(await startRtspCamera({ username, password: 'password-0' }))
  const textOf = (password: string): string => JSON.stringify({ username, password, streamUrl: camera.streamUrl })
  cloud.secrets.createSecret(secretId, textOf('password-0'))
  const streams = [{ name: 'dock-1', secretId, probe: isProbed }]
  const appliance = await createApplianceFiles({
    cloud,
    folder: await temporaryFolder(resources),
    thingName: 'panorama_bench',
    config: { cameras: { streams } },
  })
  const file = join(appliance.runtimeFolder, 'cameras', 'dock-1.json')
  const holds = async (password: string): Promise<boolean> =>
    (await readFile(file, 'utf8').catch(() => '')).includes(`"${password}"`)
  const agent = resources.use(new AgentProcess(appliance))
  await agent.until(({ cameras: [first] }) => first?.state === 'ok')
  const [node = '', ...args] = agentCommand
  const timesMs: number[] = []
  for (let round = 1; round <= rounds; round += 1) {
    const password = `password-${round}`
    camera.setCredential(username, password)
    const startMs = performance.now()
    cloud.secrets.putSecretValue(secretId, textOf(password))
    await runCommand(node, [...args, 'refresh', 'dock-1', '--config', appliance.configFile])
    await waitUntil('the file has the new password', () => holds(password))
    timesMs.push(performance.now() - startMs)
  }
  const sorted = timesMs.toSorted((one, other) => one - other)
  const [fastest = 0, median = 0, slowest = 0] = [0, Math.floor(rounds / 2), rounds - 1].map((at) => sorted[at] ?? 0)
  console.log(
    `PutSecretValue and panorama-agent refresh to the new file, ${isProbed ? 'the camera asked first' : 'no camera asked'}: ` +
      `median ${median.toFixed(0)} ms of ${rounds} (${fastest.toFixed(0)} to ${slowest.toFixed(0)}), the command's own start included`,
  )
}

interface SimulatedClock extends Disposable {
  readonly nowMs: () => number
  readonly pass: (ms: number) => void
}

/** In place of the timers and of the clock that intervals are measured by. */
function simulatedClock(): SimulatedClock {
  let nowMs = performance.now()
  const clock = mock.method(performance, 'now', () => nowMs)
  mock.timers.enable({ apis: ['setTimeout'] })
  return {
    nowMs: () => nowMs,
    pass: (ms) => {
      nowMs += ms
      mock.timers.tick(Math.ceil(ms))
    },
    [Symbol.dispose]() {
      mock.timers.reset()
      clock.mock.restore()
    },
  }
}

async function turn(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
}

async function temporaryFolder(resources: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'panorama-bench-'))
  resources.defer(() => rm(folder, { recursive: true, force: true }))
  return folder
}
