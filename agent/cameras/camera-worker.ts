import type { CameraConfig, Config } from '../config/config-schema.ts'
import { jittered } from '../lib/backoff.ts'
import { AgentError, type ErrorReport } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker, type Pass, type PassOutcome } from '../lib/worker.ts'
import type { CameraFile } from './camera-file.ts'
import type { CameraFiles } from './camera-files.ts'
import type { CameraGroups } from './camera-groups.ts'
import { CameraPass } from './camera-pass.ts'
import type { CameraProbe } from './camera-probe.ts'
import { CameraStates, type CameraStatus } from './camera-states.ts'
import { CredentialSwap } from './credential-swap.ts'
import type { CameraHooks, LastKnownGood } from './last-known-good.ts'
import { RefusalLedger } from './refusal-ledger.ts'
import { refreshIntervalMs } from './refresh-schedule.ts'
import type { SecretReader } from './secret-reader.ts'
import { SecretReads, type DeniedBatches } from './secret-reads.ts'

export interface CameraWorkerDeps {
  readonly cameras: Config['cameras']
  readonly thingName: string
  readonly reader: SecretReader
  readonly probe: CameraProbe
  readonly files: CameraFiles
  readonly copies: LastKnownGood
  readonly groups: CameraGroups
  readonly hooks: CameraHooks
  /** Where it is kept what cameras refused: `<state>/cameras/refusals.json`. */
  readonly ledgerPath: string
  /** Milliseconds since 1970. */
  readonly cloudNow: () => number
  readonly log: Log
}

const stepMs = 120_000
/** What is due within this is done along. */
const slackMs = 2_000
const leastRestMs = 1_000
const retrySpread = 0.5

/**
 * Keeps the files of all cameras at the version of their secrets that is AWSCURRENT, as far as the cameras take it. A
 * camera whose secret cannot be had, is malformed, or is refused by it keeps its last good file, and holds up no other
 * camera.
 */
export class CameraWorker {
  readonly worker: Worker
  readonly #deps: CameraWorkerDeps
  readonly #states: CameraStates
  readonly #reads: SecretReads
  readonly #ledger: RefusalLedger
  readonly #pass: CameraPass
  #asked: readonly Ask[] = []
  #waiting: Waiter[] = []
  #fullDueMs = 0
  #prepared = false

  constructor(deps: CameraWorkerDeps) {
    const { cameras, reader, log, cloudNow, probe, ledgerPath } = deps
    const { streams } = cameras
    this.#deps = deps
    this.#states = new CameraStates(
      streams.map(({ name }) => name),
      log,
    )
    this.#reads = new SecretReads({ reader, secretIds: streams.map(({ secretId }) => secretId), log })
    this.#ledger = new RefusalLedger({ path: ledgerPath, cloudNow, log })
    const swap = new CredentialSwap({ probe, ledger: this.#ledger, reader })
    this.#pass = new CameraPass({ ...deps, states: this.#states, reads: this.#reads, swap })
    this.worker = new Worker({ name: 'cameras', log, stepMs, runPass: async (pass) => await this.#run(pass) })
  }

  status(): readonly CameraStatus[] {
    return this.#states.all()
  }

  /** Takes note, before the first pass, of what is in a camera's file: `status` tells it from then on. */
  hasFile(name: string, file: CameraFile): void {
    this.#states.hasFile(name, file)
  }

  /** Undefined while secrets are read in batches. */
  deniedBatches(): DeniedBatches | undefined {
    return this.#reads.denied()
  }

  /**
   * Reads secrets now, and settles as soon as that came to something: for the camera named, or for all when none is.
   * Throws unless each of them has its secret's version in its file. Asks no camera about what it refused before it is
   * time for that. Expects a name that is configured. Once `signal` aborts, cameras that nobody else asked for, and that are
   * not due, are not begun any more.
   */
  async refreshNow(name: string | undefined, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    this.#asked = [...this.#asked, { name, signal }]
    const waiter = { name, settled: Promise.withResolvers<undefined>() }
    this.#waiting.push(waiter)
    const ended = this.worker.requestPass().catch((error: unknown) => {
      if (!(error instanceof CamerasError)) throw error // that says what is said below
    })
    await (name === undefined ? ended : Promise.race([waiter.settled.promise, ended]))
    ended.catch(() => undefined)
    const wanted = this.status().filter((camera) => name === undefined || camera.name === name)
    const late = wanted.filter(({ state }) => state !== 'ok' && state !== 'unproven')
    if (late.length > 0) throw name === undefined ? this.#notAll(late) : this.#notYet(late[0])
  }

  async #run({ signal, beat }: Pass): Promise<PassOutcome> {
    const { cameras, thingName } = this.#deps
    const { streams, refreshSeconds } = cameras
    const startedMs = monotonicMs()
    const { chosen, isWanted } = this.#choose(startedMs)
    const waiting = this.#waiting.splice(0)
    await this.#prepare()
    const onSettled = (name: string): void => {
      for (const waiter of waiting) if (waiter.name === name) waiter.settled.resolve(undefined)
    }
    const spread = jittered(1, retrySpread)
    await this.#pass.run(chosen, {
      signal,
      spread,
      isWanted,
      onSettled,
      beat: () => {
        beat(stepMs)
      },
    })
    signal.throwIfAborted()
    const isFull = chosen.length === streams.length && streams.every(({ name }) => isWanted(name))
    if (isFull) this.#fullDueMs = startedMs + refreshIntervalMs(refreshSeconds, thingName)
    const failing = this.status().filter(({ state }) => state === 'failing')
    const nextInMs = Math.max(leastRestMs, this.#nextMs() - monotonicMs())
    return failing.length === 0 ? { nextInMs } : { nextInMs, fault: this.#notAll(failing) }
  }

  /**
   * The cameras of a pass: all when their refresh is due or asked for; otherwise those that are asked for or due. A pass
   * that comes although nothing is due is one for what fails.
   */
  #choose(nowMs: number): Chosen {
    const { streams } = this.#deps.cameras
    const asks = this.#asked
    this.#asked = []
    if (this.#fullDueMs <= nowMs + slackMs) return { chosen: streams, isWanted: always }
    const due = this.#camerasWith(({ dueMs }) => dueMs !== undefined && dueMs <= nowMs + slackMs)
    const dueNames = new Set(due.map(({ name }) => name))
    const isWanted = (name: string): boolean =>
      dueNames.has(name) || asks.some((ask) => ask.signal?.aborted !== true && (ask.name ?? name) === name)
    const chosen = streams.filter(({ name }) => isWanted(name))
    if (chosen.length > 0) return { chosen, isWanted }
    const failing = this.#camerasWith(({ state }) => state === 'failing')
    const isAbandoned = asks.length > 0
    return { chosen: failing.length > 0 || isAbandoned ? failing : streams, isWanted: always }
  }

  #camerasWith(isWanted: (status: CameraStatus) => boolean): readonly CameraConfig[] {
    return this.#deps.cameras.streams.filter(({ name }) => isWanted(this.#states.of(name)))
  }

  /**
   * Makes the folder, which somebody may have removed, and at the first pass reads what an earlier run left, so that a
   * start without network reports it.
   */
  async #prepare(): Promise<void> {
    const { files, copies, cameras } = this.#deps
    const names = cameras.streams.map(({ name }) => name)
    await files.prepare(names)
    await this.#ledger.load()
    if (this.#prepared) return
    await copies.keep(names)
    await this.#ledger.keep(names)
    for (const name of names) this.#states.hasFile(name, await files.read(name))
    this.#prepared = true
  }

  #nextMs(): number {
    const due = this.status().flatMap(({ dueMs }) => (dueMs === undefined ? [] : [dueMs]))
    return Math.min(this.#fullDueMs, ...due)
  }

  #notYet(camera: CameraStatus | undefined): AgentError {
    if (camera === undefined) return new AgentError('the refresh did not end')
    const { message, hint } = reportOf(camera)
    const text = `${message}${this.#nextAttempt(camera)}`
    return new AgentError(text, { retryable: true, ...(hint === undefined ? {} : { hint }) })
  }

  #notAll(late: readonly CameraStatus[]): CamerasError {
    const [first] = late
    const { message, hint } = reportOf(first)
    const failing = late.filter(({ state }) => state === 'failing').length
    const what =
      failing > 0
        ? `${failing} of ${this.status().length} cameras failed`
        : `${late.length} of ${this.status().length} cameras are not refreshed`
    const text = `${what}, ${first?.name ?? ''}: ${message}`
    return new CamerasError(text, { retryable: true, ...(hint === undefined ? {} : { hint }) })
  }

  /** Of what waits for the patience of a camera. */
  #nextAttempt({ dueMs, isPatient }: CameraStatus): string {
    if (dueMs === undefined || !isPatient) return ''
    return `; the next attempt is at ${new Date(this.#deps.cloudNow() + dueMs - monotonicMs()).toISOString()}`
  }
}

interface Ask {
  /** Undefined: all. */
  readonly name: string | undefined
  /** Once it aborts, nobody asks for it any more. */
  readonly signal: AbortSignal | undefined
}

interface Chosen {
  readonly chosen: readonly CameraConfig[]
  /** Whether it still is, as whoever asked may have given up. */
  readonly isWanted: (name: string) => boolean
}

const always = (): boolean => true

interface Waiter {
  readonly name: string | undefined
  readonly settled: PromiseWithResolvers<undefined>
}

/** A pass that ended, and in which some cameras failed. */
class CamerasError extends AgentError {
  override readonly name = 'CamerasError'
}

function reportOf(camera: CameraStatus | undefined): Pick<ErrorReport, 'message' | 'hint'> {
  const { lastError, detail, state = 'starting' } = camera ?? {}
  return lastError ?? { message: detail ?? (state === 'starting' ? 'the refresh did not end' : state) }
}
