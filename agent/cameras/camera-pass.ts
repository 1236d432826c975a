import type { CameraConfig, Config } from '../config/config-schema.ts'
import { KeyedLanes } from '../lib/keyed-lanes.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import type { CameraFile } from './camera-file.ts'
import type { CameraFiles } from './camera-files.ts'
import type { CameraGroups } from './camera-groups.ts'
import type { CameraStates } from './camera-states.ts'
import type { CredentialSwap, SwapResult, SwapSubject } from './credential-swap.ts'
import type { CameraHooks, LastKnownGood } from './last-known-good.ts'
import { PassOutcomes, saysTheSame, type Credential } from './pass-outcomes.ts'
import { parseCameraSecret } from './secret-document.ts'
import type { SecretOutcome, SecretVersion } from './secret-reader.ts'
import type { SecretReads } from './secret-reads.ts'
import { cameraHost, withCredentials } from './stream-url.ts'

export interface CameraPassDeps {
  readonly cameras: Config['cameras']
  readonly files: CameraFiles
  readonly copies: LastKnownGood
  readonly groups: CameraGroups
  readonly hooks: CameraHooks
  readonly states: CameraStates
  readonly reads: SecretReads
  readonly swap: CredentialSwap
  readonly cloudNow: () => number
  readonly log: Log
}

export interface CameraPassOptions {
  readonly signal: AbortSignal
  /** See `CameraStates.failed`. */
  readonly spread: number
  /** Whether a camera is to be begun; asked before its file is looked at, and before it is asked itself. */
  readonly isWanted: (name: string) => boolean
  /** Called when a camera is done with for this pass, well or not. */
  readonly onSettled: (name: string) => void
  readonly beat: () => void
}

const fileLanes = 8
const cameraLanes = 8
/** After that no more cameras are asked in a pass, so that those that need no asking are not kept waiting for the next. */
const askingMs = 60_000
const postponedMs = 5_000

/** The passes of the cameras: what comes of a secret is in the files of its cameras at once, whatever others do. */
export class CameraPass {
  readonly #deps: CameraPassDeps

  constructor(deps: CameraPassDeps) {
    this.#deps = deps
  }

  /** Resolves when all is done with, stopped or not. Rejects with the signal's reason on abort. */
  async run(cameras: readonly CameraConfig[], options: CameraPassOptions): Promise<void> {
    const bySecret = Map.groupBy(cameras, ({ secretId }) => secretId)
    const run = new PassRun(this.#deps, options)
    const onOutcome = (secretId: string, outcome: SecretOutcome): void => {
      options.beat()
      for (const camera of bySecret.get(secretId) ?? []) run.add(camera, outcome)
    }
    const { signal } = options
    try {
      await this.#deps.reads.read({ wanted: new Set(bySecret.keys()), onOutcome, signal })
    } finally {
      await run.idle()
    }
    signal.throwIfAborted()
  }
}

class PassRun {
  readonly #deps: CameraPassDeps
  readonly #options: CameraPassOptions
  readonly #files = new KeyedLanes(fileLanes)
  /** One request at a time for a host, whose few attempts go first to what was not refused yet. */
  readonly #cameras = new KeyedLanes(cameraLanes)
  /** Cameras that refused their credential before. */
  readonly #again: { readonly refusals: number; readonly ask: () => void }[] = []
  readonly #outcomes = new PassOutcomes()
  readonly #startedMs = monotonicMs()

  constructor(deps: CameraPassDeps, options: CameraPassOptions) {
    this.#deps = deps
    this.#options = options
  }

  add(camera: CameraConfig, outcome: SecretOutcome): void {
    this.#files.add(camera.name, async () => {
      await this.#guarded(camera, async () => {
        await this.#take(camera, outcome)
      })
    })
  }

  async idle(): Promise<void> {
    await this.#files.idle()
    for (const { ask } of this.#again.toSorted((one, other) => one.refusals - other.refusals)) ask()
    await this.#cameras.idle()
  }

  /** A fault of one camera, such as its group's, is none of another with the same secret. */
  async #guarded({ name }: CameraConfig, work: () => Promise<void>): Promise<void> {
    if (this.#isStopped() || !this.#options.isWanted(name)) return
    try {
      await work()
    } catch (error) {
      if (this.#isStopped()) return
      this.#deps.states.failed(name, error, this.#options.spread)
      this.#options.onSettled(name)
    }
  }

  #isStopped(): boolean {
    return this.#options.signal.aborted
  }

  async #take(camera: CameraConfig, outcome: SecretOutcome): Promise<void> {
    if (outcome.kind === 'failed') throw outcome.error
    const prepared = await this.#look(camera, outcome.version)
    if (!this.#deps.swap.mustAsk(prepared.subject)) {
      await this.#settle(prepared)
      return
    }
    const refusals = this.#deps.swap.refusals(prepared.subject)
    const ask = (): void => {
      this.#ask(prepared)
    }
    if (refusals === 0) ask()
    else this.#again.push({ refusals, ask })
  }

  #ask(prepared: Prepared): void {
    const { camera, subject } = prepared
    this.#cameras.add(cameraHost(subject.current.streamUrl) ?? '', async () => {
      await this.#guarded(camera, async () => {
        if (monotonicMs() - this.#startedMs < askingMs) await this.#settle(prepared)
        else this.#postpone(camera.name)
      })
    })
  }

  async #look(camera: CameraConfig, { versionId, text }: SecretVersion): Promise<Prepared> {
    const { files, copies, groups, cameras } = this.#deps
    const { name, secretId, group, probe } = camera
    const gid = group === undefined ? undefined : await groups.idOf(group)
    const file = await files.read(name)
    const held = file ?? (await copies.read(name))
    const current = { ...parseCameraSecret(text, secretId), versionId }
    const whenUnreachable = camera.whenUnreachable ?? cameras.whenUnreachable
    const ca = camera.ca ?? cameras.ca
    const subject = { camera: name, secretId, probe, whenUnreachable, ca, current, held }
    return { camera, gid, held, isThere: file !== undefined, subject }
  }

  async #settle(prepared: Prepared): Promise<void> {
    const { states, swap } = this.#deps
    const { signal, beat, onSettled } = this.#options
    const { camera, subject } = prepared
    const result = await swap.decide(subject, { outcomes: this.#outcomes, signal, beat })
    const file = await this.#write(prepared, result)
    states.hasFile(camera.name, file)
    if (file !== undefined) await this.#copy(camera.name, file)
    states.settled(camera.name, result, subject.current.versionId)
    onSettled(camera.name)
  }

  /** Answers what is in the file now. */
  async #write(
    { camera, gid, held, isThere, subject }: Prepared,
    { use }: SwapResult,
  ): Promise<CameraFile | undefined> {
    const { files, hooks, log } = this.#deps
    const { name, group } = camera
    // its version is known, so that what is in the file is no other's, whoever wrote there
    const isStray = held?.versionId === subject.current.versionId && !saysTheSame(held, subject.current)
    const next = use ?? (isStray ? subject.current : undefined)
    const file = next === undefined ? held : this.#fileOf(next)
    if (file === undefined) return undefined
    if (next === undefined && isThere && (await files.hasReaders(name, gid))) return file
    await files.write(name, file, gid)
    hooks.changed()
    log.info('camera credentials written', {
      camera: name,
      versionId: file.versionId,
      ...(group === undefined ? {} : { group }),
    })
    return file
  }

  #fileOf({ username, password, streamUrl, versionId }: Credential): CameraFile {
    return {
      username,
      password,
      streamUrl,
      streamUrlWithCredentials: withCredentials(streamUrl, username, password),
      versionId,
      changedAt: new Date(this.#deps.cloudNow()).toISOString(),
    }
  }

  /** A copy that could not be made, or was taken away, is worth another try at the next pass. */
  async #copy(name: string, file: CameraFile): Promise<void> {
    const { copies } = this.#deps
    const copy = await copies.read(name)
    const isSame = copy?.versionId === file.versionId && copy.changedAt === file.changedAt
    if (!isSame) await copies.write(name, file)
  }

  #postpone(name: string): void {
    this.#deps.states.postponed(name, postponedMs)
    this.#options.onSettled(name)
  }
}

interface Prepared {
  readonly camera: CameraConfig
  readonly gid: number | undefined
  /** What the file holds, or its copy. */
  readonly held: CameraFile | undefined
  readonly isThere: boolean
  readonly subject: SwapSubject
}
