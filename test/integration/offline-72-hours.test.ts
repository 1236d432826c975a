import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test, vi } from 'vitest'

import { createArtifactWorker, type ArtifactWorker } from '../../agent/artifacts/artifact-worker.ts'
import { CameraFiles } from '../../agent/cameras/camera-files.ts'
import { CameraWorker } from '../../agent/cameras/camera-worker.ts'
import { RoleCredentials } from '../../agent/credentials/role-credentials.ts'
import { retryFailing } from '../../agent/composition/generation/generation.ts'
import { linkedAbort } from '../../agent/lib/abort.ts'
import { AgentError } from '../../agent/lib/errors.ts'
import { createLog, type Log } from '../../agent/lib/log.ts'
import { sleep } from '../../agent/lib/sleep.ts'
import type { Worker } from '../../agent/lib/worker.ts'
import type { LogDestination } from '../../agent/logs/log-destination.ts'
import { createLogSources } from '../../agent/logs/log-sources.ts'
import { LogRing } from '../../agent/logs/log-ring.ts'
import { createLogWorker, type LogWorker } from '../../agent/logs/log-worker.ts'
import { FakeArtifactSource } from '../support/fake-artifact-source.ts'
import { FakeLogDestination } from '../support/fake-log-destination.ts'
import { camerasConfig } from '../support/cameras-config.ts'
import { FakeCopies } from '../support/fake-copies.ts'
import { fakeCameraGroups } from '../support/fake-camera-groups.ts'
import { FakeSecretReader } from '../support/fake-secret-reader.ts'
import { running } from '../support/running-worker.ts'
import { sharedTransfers } from '../support/shared-transfers.ts'
import { realNowMs, simulateTime } from '../support/simulated-time.ts'
import { tempFolder } from '../support/temp-folder.ts'

const group = '/aws/panorama/devices/appliance-a'
const secretId = 'panorama/shared/dock-1'
const stepMs = 5_000
const hourMs = 3_600_000
const offlineMs = 72 * hourMs
const backoffMs = 120_000
const hangMs = 25_000
const longestBackoffMs = 60_000
/** One batch a second; of 24 hours at most each: four of the application's log, after four of the agent's own. */
const batchMs = 1_000
const batches = 8
/** Half a minute of work on a busy machine; no bound of what is tested. */
const simulationWithinMs = 300_000
/** Real time for the files of one step on a disk under load; simulated time must not pass while a disk writes. */
const settlesWithinMs = 20_000

test(
  'goes on through 72 hours without network, and is well within one back-off after them',
  async () => {
    using _time = simulateTime()
    await using appliance = await Appliance.start()
    await appliance.write('before')
    await appliance.passUntil(() => appliance.isWell && appliance.sent.length === 1, backoffMs)
    const passesBefore = appliance.passes

    appliance.network.goDown()
    appliance.publish('2')
    const written = ['before']
    for (let hour = 0; hour < offlineMs / hourMs; hour += 1) {
      written.push(`hour ${hour}`)
      await appliance.write(`hour ${hour}`)
      await appliance.pass(hourMs)
      expect(await appliance.versions()).toEqual(['1', '1'])
    }
    // every worker kept trying, at least once in two back-offs
    for (const [worker, passes] of appliance.passes) {
      expect(passes - (passesBefore.get(worker) ?? 0), worker).toBeGreaterThan(offlineMs / (2 * backoffMs))
    }
    expect(appliance.sent).toEqual(['before'])

    appliance.network.comeBack()
    // the credentials' back-off of at most a minute, which ends those of the workers; then batch after batch
    const wellAgain = (): boolean => appliance.isWell && appliance.sent.length === written.length
    await appliance.passUntil(wellAgain, longestBackoffMs + batches * batchMs + 3 * batchMs, batchMs)
    expect(await appliance.versions()).toEqual(['2', '2'])
    expect(appliance.sent).toEqual(written)
    expect(appliance.logs.status().lostBytes).toBe(0)
  },
  simulationWithinMs,
)

/** A network that is there, or is down in the two ways that there are: refusing at once, and never answering. */
class Network {
  #isDown = false
  #back = new AbortController()
  #requests = 0

  goDown(): void {
    this.#isDown = true
    this.#back = new AbortController()
  }

  /** What waits for an answer fails, as when a router resets what it does not know. */
  comeBack(): void {
    this.#isDown = false
    this.#back.abort()
  }

  async reach(signal: AbortSignal): Promise<void> {
    if (!this.#isDown) return
    this.#requests += 1
    if (this.#requests % 2 === 0) throw unreachable()
    using link = linkedAbort(signal, this.#back.signal)
    await sleep(hangMs, link.controller.signal).catch(() => undefined)
    signal.throwIfAborted()
    throw unreachable()
  }
}

/** The workers of the agent over fakes behind one network. */
class Appliance implements AsyncDisposable {
  readonly network = new Network()
  readonly source = new FakeArtifactSource('app/')
  readonly reader = new FakeSecretReader()
  readonly destination = new FakeLogDestination()
  readonly credentials: RoleCredentials
  readonly artifacts: ArtifactWorker
  readonly cameras: CameraWorker
  readonly logs: LogWorker
  readonly #root: string
  readonly #owned = new AsyncDisposableStack()
  /** How many passes wait for the network. */
  #waiting = 0

  private constructor(root: string) {
    this.#root = root
    const ring = new LogRing()
    const log = createLog({ level: 'info', sinks: [ring.sink] })
    this.credentials = this.#makeCredentials(log)
    this.artifacts = this.#makeArtifacts(log)
    this.cameras = this.#makeCameras(log)
    this.logs = this.#makeLogs(log, ring)
    this.credentials.onRenewed(() => {
      retryFailing(this)
    })
  }

  static async start(): Promise<Appliance> {
    const folder = await tempFolder()
    await mkdir(join(folder.path, 'artifacts'))
    await mkdir(join(folder.path, 'logs'))
    const appliance = new Appliance(folder.path)
    appliance.publish('1')
    appliance.#owned.use(folder)
    appliance.#owned.use(appliance.logs)
    for (const worker of appliance.workers) appliance.#owned.use(running(worker))
    return appliance
  }

  get workers(): readonly Worker[] {
    return [this.credentials.worker, this.artifacts.worker, this.cameras.worker, this.logs.worker]
  }

  get passes(): ReadonlyMap<string, number> {
    return new Map(this.workers.map((worker) => [worker.name, worker.health().passes]))
  }

  get isWell(): boolean {
    return this.workers.every((worker) => worker.health().state === 'ok')
  }

  /** What arrived of the application's log. */
  get sent(): readonly string[] {
    return this.destination.messages({ group, stream: 'app' })
  }

  publish(version: string): void {
    this.source.put('app/version', version)
    this.reader.store(secretId, JSON.stringify({ username: 'viewer', password: version, streamUrl: '' }))
  }

  /** What is installed, and what is in the camera's file. */
  async versions(): Promise<readonly unknown[]> {
    const installed = await readFile(join(this.#root, 'artifacts', 'app', 'current', 'version'), 'utf8')
    const camera = JSON.parse(await readFile(join(this.#root, 'cameras', 'dock-1.json'), 'utf8')) as object
    return [installed, 'password' in camera ? camera.password : undefined]
  }

  async write(line: string): Promise<void> {
    await appendFile(join(this.#root, 'logs', 'app.log'), `${line}\n`)
  }

  /** Lets time pass; no worker may be overdue at any step. */
  async pass(forMs: number, inStepsOfMs = stepMs): Promise<void> {
    for (let passedMs = 0; passedMs < forMs; passedMs += inStepsOfMs) {
      vi.advanceTimersByTime(inStepsOfMs)
      await this.#settle()
      const overdue = this.workers.filter((worker) => worker.overdueMs() > 0)
      if (overdue.length > 0) throw new Error(`overdue: ${overdue.map(({ name }) => name).join(', ')}`)
    }
  }

  async passUntil(isReached: () => boolean, withinMs: number, inStepsOfMs = stepMs): Promise<void> {
    for (let passedMs = 0; !isReached(); passedMs += inStepsOfMs) {
      if (passedMs > withinMs) throw new Error(JSON.stringify(this.workers.map((worker) => worker.health())))
      await this.pass(inStepsOfMs, inStepsOfMs)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync()
  }

  /** Gives files the real time that they need, until every worker rests or waits for the network. */
  async #settle(): Promise<void> {
    const startedMs = realNowMs()
    for (let turn = 0; ; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve))
      const busy = this.workers.filter((worker) => (worker.health().nextPassMs ?? 0) <= performance.now())
      if (turn >= 5 && busy.length <= this.#waiting) return
      if (realNowMs() - startedMs > settlesWithinMs) throw new Error(`busy: ${busy.map(({ name }) => name).join(', ')}`)
    }
  }

  async #duringPass(work: () => Promise<void>): Promise<void> {
    this.#waiting += 1
    await work().finally(() => {
      this.#waiting -= 1
    })
  }

  async #reach(signal: AbortSignal): Promise<void> {
    await this.credentials.get()
    await this.network.reach(signal)
  }

  #makeCredentials(log: Log): RoleCredentials {
    const fetch = async (signal: AbortSignal) => {
      await this.#duringPass(() => this.network.reach(signal))
      return { accessKeyId: 'ASIA', secretAccessKey: 'secret', sessionToken: 'token', lifetimeMs: hourMs }
    }
    return new RoleCredentials({ name: 'credentials', source: { fetch }, log })
  }

  #makeArtifacts(log: Log): ArtifactWorker {
    const { source } = this
    const reach = (signal: AbortSignal): Promise<void> => this.#duringPass(() => this.#reach(signal))
    return createArtifactWorker({
      artifact: {
        name: 'app',
        accessPoint: 'unused',
        prefix: 'app/',
        pollSeconds: 300,
        keepReleases: 2,
        trustedKeys: [],
      },
      source: {
        list: async (signal) => {
          await reach(signal)
          return await source.list(signal)
        },
        open: async (object, options) => {
          await reach(options.signal)
          return await source.open(object, options)
        },
        heldChecksum: async (object, signal) => {
          await reach(signal)
          return await source.heldChecksum(object, signal)
        },
        readSmall: async (path, options) => {
          await reach(options.signal)
          return await source.readSmall(path, options)
        },
      },
      folder: join(this.#root, 'artifacts', 'app'),
      transfers: sharedTransfers(),
      log,
    })
  }

  #makeCameras(log: Log): CameraWorker {
    this.reader.beforeAnswer = (_secretId, signal) => this.#duringPass(() => this.#reach(signal))
    return new CameraWorker({
      cameras: camerasConfig({ streams: [{ name: 'dock-1', secretId }] }),
      thingName: 'dock-1',
      reader: this.reader,
      probe: async () => await Promise.resolve({ kind: 'accepted' }),
      ledgerPath: join(this.#root, 'refusals.json'),
      files: new CameraFiles(join(this.#root, 'cameras')),
      copies: new FakeCopies(),
      groups: fakeCameraGroups(),
      hooks: { changed: () => undefined },
      cloudNow: () => Date.now(),
      log: log.child({ worker: 'cameras' }),
    })
  }

  #makeLogs(log: Log, ring: LogRing): LogWorker {
    const path = join(this.#root, 'logs', '*.log')
    const maxBacklogBytes = 1_073_741_824
    return createLogWorker({
      config: { flushSeconds: 15, maxBacklogHours: 312, minLevelWhenBehind: 'debug' },
      sources: (context) =>
        createLogSources(
          {
            config: {
              sources: [{ kind: 'file', path, group, stream: '{file}', timestamps: 'auto', timeZone: 'local' }],
              maxBacklogBytes,
            },
            device: { id: 'dock-1', name: 'dock-1', thing: 'dock-1' },
          },
          context,
        ),
      group,
      destination: this.#reachable(this.destination),
      ring,
      folder: join(this.#root, 'cursors'),
      cursorCopy: join(this.#root, 'log-cursors.json'),
      cloudNow: Date.now,
      log: log.child({ worker: 'logs' }),
    })
  }

  #reachable(destination: LogDestination): LogDestination {
    return {
      put: async (target, events, signal) => {
        await this.#reach(signal)
        return await destination.put(target, events, signal)
      },
      createStream: async (target, signal) => {
        await this.#reach(signal)
        return await destination.createStream(target, signal)
      },
      createGroup: async (name, signal) => {
        await this.#reach(signal)
        return await destination.createGroup(name, signal)
      },
    }
  }
}

function unreachable(): AgentError {
  return new AgentError('connect ENETUNREACH', { retryable: true })
}
