import type { CameraConfig, Config } from '../config/config-schema.ts'
import { jittered } from '../lib/backoff.ts'
import { AgentError, reportError, type ErrorReport } from '../lib/errors.ts'
import { FailureLog } from '../lib/failure-log.ts'
import { forEachConcurrent } from '../lib/for-each-concurrent.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker, type Pass, type PassOutcome } from '../lib/worker.ts'
import type { CameraFile } from './camera-file.ts'
import type { CameraFiles } from './camera-files.ts'
import type { CameraGroups } from './camera-groups.ts'
import type { CameraHooks, LastKnownGood } from './last-known-good.ts'
import { parseCameraSecret, type CameraSecret } from './secret-document.ts'
import type { SecretReader, SecretVersion } from './secret-reader.ts'
import { withCredentials } from './stream-url.ts'

export interface CameraWorkerDeps {
  readonly cameras: Config['cameras']
  readonly reader: SecretReader
  readonly files: CameraFiles
  readonly copies: LastKnownGood
  readonly groups: CameraGroups
  readonly hooks: CameraHooks
  /** Milliseconds since 1970. */
  readonly cloudNow: () => number
  readonly log: Log
}

/** Instants are on the monotonic clock. */
export interface CameraStatus {
  readonly name: string
  readonly state: 'starting' | 'ok' | 'failing'
  readonly sinceMs: number
  /** The version in the camera's file, also while newer ones cannot be had. */
  readonly versionId: string | undefined
  readonly changedMs: number | undefined
  readonly lastError: (ErrorReport & { readonly atMs: number }) | undefined
}

const concurrency = 4
const jitter = 0.1
const stepMs = 60_000
const retryBaseMs = 5_000
/** While a failure may end by itself, such as an outage, no wait is longer than this and half of it. */
const outageRetryMs = 40_000

/**
 * Keeps the files of all cameras at the AWSCURRENT version of their secrets. A camera whose secret cannot be had or
 * is malformed keeps its last good file, and holds up no other camera.
 */
export class CameraWorker {
  readonly worker: Worker
  readonly #deps: CameraWorkerDeps
  readonly #status: Map<string, CameraStatus>
  readonly #failures: ReadonlyMap<string, FailureLog>
  /** The cameras whose failure may end by itself. */
  readonly #mayRecover = new Set<string>()
  #failedInARow = 0
  #prepared = false

  constructor(deps: CameraWorkerDeps) {
    const { streams } = deps.cameras
    this.#deps = deps
    this.#status = new Map(streams.map(({ name }) => [name, initialStatus(name)]))
    this.#failures = new Map(streams.map(({ name }) => [name, new FailureLog(deps.log)]))
    this.worker = new Worker({
      name: 'cameras',
      log: deps.log,
      stepMs,
      runPass: async (pass) => await this.#pass(pass),
    })
  }

  status(): readonly CameraStatus[] {
    return [...this.#status.values()]
  }

  /**
   * Refreshes now. Throws when it fails: for the camera named, or for any when none is. Expects a name that is
   * configured.
   */
  async refreshNow(name: string | undefined): Promise<void> {
    if (name === undefined) {
      await this.worker.requestPass()
      return
    }
    await this.worker.requestPass().catch((error: unknown) => {
      if (!(error instanceof CamerasError)) throw error // of those, another camera's fault is not this one's
    })
    const { state, lastError } = this.#status.get(name) ?? initialStatus(name)
    if (state !== 'ok') throw lastError === undefined ? new AgentError('the refresh did not end') : restored(lastError)
  }

  async #pass(pass: Pass): Promise<PassOutcome> {
    const { streams, refreshSeconds } = this.#deps.cameras
    await this.#prepare()
    const bySecret = Map.groupBy(streams, ({ secretId }) => secretId)
    await forEachConcurrent([...bySecret], concurrency, async ([secretId, cameras]) => {
      await this.#refresh(secretId, cameras, pass.signal)
      pass.beat(stepMs)
    })
    pass.signal.throwIfAborted()
    const failing = this.status().filter(({ state }) => state === 'failing')
    this.#failedInARow = failing.length > 0 ? this.#failedInARow + 1 : 0
    const fullMs = jittered(refreshSeconds * 1000, jitter)
    if (failing.length === 0) return { nextInMs: fullMs }
    return { nextInMs: Math.min(fullMs, this.#retryMs()), fault: someFailed(failing, streams.length) }
  }

  /**
   * Makes the folder, which somebody may have removed, and at the first pass reads what an earlier run left, so that a
   * start without network reports it.
   */
  async #prepare(): Promise<void> {
    const { files, cameras } = this.#deps
    await files.prepare(cameras.streams.map(({ name }) => name))
    if (this.#prepared) return
    for (const { name } of cameras.streams) {
      const file = await files.read(name)
      this.#update(name, { versionId: file?.versionId })
    }
    this.#prepared = true
  }

  async #refresh(secretId: string, cameras: readonly CameraConfig[], signal: AbortSignal): Promise<void> {
    try {
      const version = await this.#deps.reader.current(secretId, signal)
      for (const camera of cameras) await this.#apply(camera, version)
    } catch (error) {
      if (signal.aborted) return
      for (const { name } of cameras) this.#failed(name, error)
    }
  }

  /** A fault of one camera, such as its group's, is none of another with the same secret. */
  async #apply(camera: CameraConfig, version: SecretVersion): Promise<void> {
    const { name } = camera
    try {
      await this.#write(camera, version)
    } catch (error) {
      this.#failed(name, error)
      return
    }
    this.#mayRecover.delete(name)
    this.#enter(name, 'ok', undefined)
    this.#failures.get(name)?.recovered('camera refreshed again', { camera: name })
  }

  /** Writes file and copy where the version, or who may read it, has changed. */
  async #write({ name, group, secretId }: CameraConfig, { versionId, text }: SecretVersion): Promise<void> {
    const { files, groups, copies, hooks, cloudNow, log } = this.#deps
    const gid = group === undefined ? undefined : await groups.idOf(group)
    const before = await files.read(name)
    const isSame = before?.versionId === versionId
    if (!isSame || !(await files.hasReaders(name, gid))) {
      const file = isSame ? before : cameraFile(parseCameraSecret(text, secretId), versionId, cloudNow())
      await files.write(name, file, gid)
      this.#update(name, { versionId, changedMs: monotonicMs() })
      hooks.changed()
      log.info('camera credentials written', { camera: name, versionId, ...(group === undefined ? {} : { group }) })
    }
    const file = await files.read(name)
    if (file !== undefined && (await copies.read(name))?.versionId !== versionId) await copies.write(name, file)
  }

  #failed(name: string, error: unknown): void {
    if (error instanceof AgentError && !error.retryable) this.#mayRecover.delete(name)
    else this.#mayRecover.add(name)
    this.#enter(name, 'failing', { ...reportError(error), atMs: monotonicMs() })
    this.#failures.get(name)?.failed('camera keeps its last credentials', error, { camera: name })
  }

  #enter(name: string, state: CameraStatus['state'], lastError: CameraStatus['lastError']): void {
    const before = this.#status.get(name)
    const sinceMs = before?.state === state ? before.sinceMs : monotonicMs()
    this.#update(name, { state, sinceMs, lastError })
  }

  #update(name: string, change: Partial<CameraStatus>): void {
    this.#status.set(name, { ...initialStatus(name), ...this.#status.get(name), ...change })
  }

  #retryMs(): number {
    const capMs = this.#mayRecover.size > 0 ? outageRetryMs : Infinity
    return jittered(Math.min(capMs, retryBaseMs * 2 ** Math.min(this.#failedInARow, 10)), 0.5)
  }
}

function cameraFile({ username, password, streamUrl }: CameraSecret, versionId: string, atMs: number): CameraFile {
  return {
    username,
    password,
    streamUrl,
    streamUrlWithCredentials: withCredentials(streamUrl, username, password),
    versionId,
    changedAt: new Date(atMs).toISOString(),
  }
}

function initialStatus(name: string): CameraStatus {
  return {
    name,
    state: 'starting',
    sinceMs: monotonicMs(),
    versionId: undefined,
    changedMs: undefined,
    lastError: undefined,
  }
}

function restored({ message, hint }: ErrorReport): AgentError {
  return new AgentError(message, { retryable: true, ...(hint === undefined ? {} : { hint }) })
}

/** A pass that ended, and in which some cameras failed. */
class CamerasError extends AgentError {
  override readonly name = 'CamerasError'
}

function someFailed(failing: readonly CameraStatus[], of: number): CamerasError {
  const [first] = failing
  const { message = '', hint } = first?.lastError ?? {}
  const text = `${failing.length} of ${of} cameras failed, ${first?.name ?? ''}: ${message}`
  return new CamerasError(text, { retryable: true, ...(hint === undefined ? {} : { hint }) })
}
