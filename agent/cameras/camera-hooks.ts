import { createHash } from 'node:crypto'

import * as z from 'zod'

import type { Config } from '../config/config-schema.ts'
import { AgentError, reportError, type ErrorReport } from '../lib/errors.ts'
import { FailureLog } from '../lib/failure-log.ts'
import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker, type Pass, type PassOutcome } from '../lib/worker.ts'
import type { CameraFiles } from './camera-files.ts'
import type { CameraHooks } from './last-known-good.ts'

/**
 * Runs a program of the operator's, once, and waits for it. Has a deadline of its own besides the signal, with whose
 * reason it rejects. Throws an AgentError when it failed or could not be run. It may be run again for the same change.
 */
export type CameraHookRunner = (hook: string, signal: AbortSignal) => Promise<void>

export interface HookCallsDeps {
  readonly cameras: Pick<Config['cameras'], 'hook' | 'streams'>
  readonly files: Pick<CameraFiles, 'look'>
  readonly runHook: CameraHookRunner
  /** What each hook was told last; in a folder that a reboot empties, as it does that of the camera files. */
  readonly toldFile: string
  readonly log: Log
}

/** Instants are on the monotonic clock. */
export interface HookStatus {
  readonly name: string
  readonly state: 'starting' | 'ok' | 'failing'
  readonly sinceMs: number
  readonly lastError: (ErrorReport & { readonly atMs: number }) | undefined
  /** Undefined also when it was tried often enough: then the next change is what it waits for. */
  readonly nextAttemptMs: number | undefined
}

interface HookState extends HookStatus {
  /** In a row, for the same look. */
  readonly failures: number
  readonly triedLook: string | undefined
}

const retryMs = [10_000, 30_000, 60_000, 300_000, 900_000] as const
/** Longer than root's own deadline for a hook, and that of the answer. */
const hookStepMs = 360_000
const restMs = 6 * 3_600_000
const toldSchema = z.object({ version: z.literal(1), told: z.record(z.string(), z.string()) })

/**
 * Runs each hook after files of its cameras have changed, one hook at a time; changes meanwhile make one more run. What
 * is due is seen from the files and from what the hook was told last, so neither a crash nor a restart loses a change,
 * and a hook that is new, or whose files are there again after a reboot, is run once. A hook that fails is tried five
 * times more, ever later, and again when something changes.
 */
export class HookCalls implements CameraHooks {
  readonly worker: Worker
  readonly #deps: HookCallsDeps
  readonly #cameras: ReadonlyMap<string, readonly string[]>
  readonly #states: Map<string, HookState>
  readonly #failures: ReadonlyMap<string, FailureLog>
  #told: Map<string, string> | undefined
  #isAsked = false

  constructor(deps: HookCallsDeps) {
    this.#deps = deps
    this.#cameras = camerasByHook(deps.cameras)
    this.#states = new Map([...this.#cameras.keys()].map((hook) => [hook, initialState(hook)]))
    this.#failures = new Map([...this.#cameras.keys()].map((hook) => [hook, new FailureLog(deps.log)]))
    this.worker = new Worker({
      name: 'camera-hooks',
      log: deps.log,
      stepMs: hookStepMs,
      runPass: async (pass) => await this.#pass(pass),
    })
  }

  readonly changed = (): void => {
    if (this.#isAsked || this.#cameras.size === 0) return
    this.#isAsked = true
    this.worker.requestPass().catch(() => undefined) // it reports its failures itself
  }

  status(): readonly HookStatus[] {
    return [...this.#cameras.keys()].map((name) => this.#stateOf(name))
  }

  async #pass(pass: Pass): Promise<PassOutcome> {
    this.#isAsked = false
    const told = (this.#told ??= await this.#readTold())
    for (const [hook, cameras] of this.#cameras) {
      pass.signal.throwIfAborted()
      pass.beat(hookStepMs)
      const look = await this.#look(cameras)
      if (told.get(hook) === look) this.#enter(hook, { state: 'ok', triedLook: look })
      else if (this.#isDue(hook, look)) await this.#call(hook, look, pass.signal)
    }
    const failing = this.status().filter(({ state }) => state === 'failing')
    const dueMs = failing.map(({ nextAttemptMs = Infinity }) => nextAttemptMs - monotonicMs())
    const nextInMs = Math.max(1_000, Math.min(restMs, ...dueMs))
    const [first] = failing
    return first === undefined ? { nextInMs } : { nextInMs, fault: new AgentError(`camera hook ${first.name} failed`) }
  }

  async #call(hook: string, look: string, signal: AbortSignal): Promise<void> {
    const { runHook, log } = this.#deps
    try {
      await runHook(hook, signal)
    } catch (error) {
      signal.throwIfAborted()
      this.#failed(hook, look, error)
      return
    }
    this.#enter(hook, { state: 'ok', triedLook: look })
    this.#failures.get(hook)?.recovered('camera hook succeeded again', { hook })
    log.info('camera hook was told of changed files', { hook })
    await this.#remember(hook, look)
  }

  #failed(hook: string, look: string, error: unknown): void {
    const before = this.#stateOf(hook)
    const failures = before.triedLook === look ? before.failures + 1 : 1
    const waitMs = retryMs[failures - 1]
    const nextAttemptMs = waitMs === undefined ? undefined : monotonicMs() + waitMs
    const lastError = { ...reportError(error), atMs: monotonicMs() }
    this.#enter(hook, { state: 'failing', lastError, nextAttemptMs, failures, triedLook: look })
    this.#failures.get(hook)?.failed('camera hook failed', error, { hook })
  }

  /** A change that it was not tried for is due at once. */
  #isDue(hook: string, look: string): boolean {
    const { nextAttemptMs, triedLook } = this.#stateOf(hook)
    return triedLook !== look || (nextAttemptMs !== undefined && monotonicMs() >= nextAttemptMs)
  }

  #enter(hook: string, change: Pick<HookState, 'state' | 'triedLook'> & Partial<HookState>): void {
    const { state, sinceMs } = this.#stateOf(hook)
    const since = state === change.state ? { sinceMs } : {}
    this.#states.set(hook, { ...initialState(hook), ...since, ...change })
  }

  #stateOf(hook: string): HookState {
    return this.#states.get(hook) ?? initialState(hook)
  }

  async #look(cameras: readonly string[]): Promise<string> {
    const hash = createHash('sha256')
    for (const name of cameras) hash.update(`${name} ${await this.#deps.files.look(name)}\n`)
    return hash.digest('hex')
  }

  async #readTold(): Promise<Map<string, string>> {
    const { toldFile: path, log } = this.#deps
    const told = await readJsonState({ path, log, parse: (json) => toldSchema.parse(json).told })
    return new Map(Object.entries(told ?? {}))
  }

  /** Where it cannot be written, the hook is run once more after a restart. */
  async #remember(hook: string, look: string): Promise<void> {
    const { toldFile, log } = this.#deps
    this.#told?.set(hook, look)
    const known = [...(this.#told ?? [])].filter(([name]) => this.#cameras.has(name))
    await writeJsonState(toldFile, { version: 1, told: Object.fromEntries(known) }).catch((error: unknown) => {
      log.warn('what camera hooks were told cannot be remembered', { error })
    })
  }
}

function initialState(name: string): HookState {
  return {
    name,
    state: 'starting',
    sinceMs: monotonicMs(),
    lastError: undefined,
    nextAttemptMs: undefined,
    failures: 0,
    triedLook: undefined,
  }
}

function camerasByHook({ hook: common, streams }: HookCallsDeps['cameras']): ReadonlyMap<string, readonly string[]> {
  const byHook = new Map<string, string[]>()
  for (const { name, hook = common } of streams) {
    if (hook !== undefined) byHook.set(hook, [...(byHook.get(hook) ?? []), name])
  }
  return byHook
}
