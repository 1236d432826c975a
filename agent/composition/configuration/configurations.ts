import { isDeepStrictEqual } from 'node:util'

import { BaseCopy } from './base-copy.ts'
import {
  loggedChanges,
  planChange,
  type ConfigChange,
  type ConfigChanges,
  type DryRun,
  type PlannedChange,
  type Proposal,
  type RefusedChange,
} from './config-changes.ts'
import { ConfigTrial, type TrialEvidence } from './config-trial.ts'
import { configFolderIn, readBase, type BaseDocument } from '../../config/base-document.ts'
import type { Config } from '../../config/config-schema.ts'
import { configurationPart } from './configuration-report.ts'
import { OverlayVersions, type SettledTrial, type TrialOutcome } from '../../config/overlay-versions.ts'
import { isSameJob, type JobExecutionId, type OverlayVersion } from '../../config/overlay-version.ts'
import { AgentError, reportError } from '../../lib/errors.ts'
import type { Log } from '../../lib/log.ts'
import { OneAtATime } from '../../lib/one-at-a-time.ts'
import type { ConfigurationPart } from '../../status/status-document.ts'
import {
  baseAlone,
  makeConfiguration,
  versionFault,
  withBaseError,
  type MadeConfiguration,
} from './made-configuration.ts'
import { StartFaults } from './start-faults.ts'

export interface ConfigurationsOptions {
  /** The base file. */
  readonly file: string
  /** What was read from it at the start. */
  readonly base: BaseDocument
  readonly log: Log
  /** Has `load` called, and what it answers taken into use. */
  readonly requestReload: () => void
  /** Milliseconds since 1970; default the system's. */
  readonly now?: () => number
  /** How long a second of a trial is; less in tests. */
  readonly trialSecondMs?: number
}

/**
 * Which configuration is in force: the base file, never written, with the newest version of the remote overlay that is on
 * trial or accepted. Everything that decides that is on the disk before it is done, so that a crash ends in the
 * old or the new configuration.
 */
export class Configurations implements ConfigChanges, AsyncDisposable {
  readonly #options: ConfigurationsOptions
  readonly #turns = new OneAtATime()
  readonly #copy: BaseCopy
  readonly #startFaults: StartFaults
  #state: { readonly folder: string; readonly versions: OverlayVersions } | undefined
  #loaded: MadeConfiguration
  #inUse: MadeConfiguration | undefined
  #trial: ConfigTrial | undefined
  #isBaseWanted = false
  /** Why the base file was not taken, since it was to be read anew. */
  #baseError: unknown

  constructor(options: ConfigurationsOptions) {
    this.#options = options
    this.#copy = new BaseCopy(options)
    this.#startFaults = new StartFaults(options)
    this.#loaded = baseAlone(options.file, options.base)
  }

  /**
   * To be called before a session of `config` starts, once nobody else can work on its state folder. Answers with what is in
   * force there, after a start of the process with a version on trial was counted, durably.
   */
  async begin(config: Config): Promise<Config> {
    const folder = configFolderIn(config.paths.state)
    if (this.#state?.folder === folder) return config
    await this.#endState()
    const versions = new OverlayVersions(folder, this.#options.log)
    this.#state = { folder, versions }
    await versions.load()
    await versions.countStart()
    await this.#copy.load(config.paths.state)
    return this.#made(this.#loaded.base).config
  }

  /** Has the base file read anew. */
  reloadBase(): void {
    this.#isBaseWanted = true
    this.#options.requestReload()
  }

  /** What is in force now. Throws when the base file was to be read anew and is at fault, and nothing else has changed. */
  async load(): Promise<Config> {
    const base = this.#isBaseWanted ? await this.#readBase() : this.#loaded.base
    if (this.#state?.folder !== configFolderIn(base.config.paths.state)) {
      this.#loaded = baseAlone(this.#options.file, base) // what is over it in its own state folder is found when that is locked
      return this.#loaded.config
    }
    const before = this.#inUse
    const { config, version } = this.#made(base)
    if (version?.state === 'trial' && version.number === before?.version?.number) {
      this.#options.log.info('the trial goes on with the base file as it is now', { version: version.number })
    }
    return config
  }

  /** A generation of `config` runs, in the session that `evidence` is of. */
  running(config: Config, evidence: TrialEvidence): void {
    const loaded = this.#loaded
    if (!isDeepStrictEqual(config, loaded.config)) return // the same one may have been made anew since
    this.#inUse = loaded
    this.#startFaults.started(loaded)
    void this.#turns.run(async () => {
      await this.#copy.keep(loaded.base)
    })
    const { version } = loaded
    if (version?.state !== 'trial') return
    this.#trialOf(version)?.running(evidence)
  }

  /**
   * What is to be used in the place of the configuration that was loaded last and could not be started; undefined when that
   * is the one before, or when there is none.
   */
  startFailed(error: unknown): Config | undefined {
    const { version, base } = this.#loaded
    const versions = this.#state?.versions
    const why = `it could not be started: ${reportError(error).message}`
    // it may have been accepted since it was loaded
    const isOnTrial = version?.state === 'trial' && versions?.find(version.number)?.state !== 'accepted'
    if (version === undefined || versions === undefined || (!isOnTrial && this.#inUse !== undefined)) {
      if (this.#inUse === undefined) return undefined
      this.#startFaults.stays(this.#loaded, error)
      this.#loaded = this.#inUse
      if (this.#isTakenBack(this.#inUse)) this.#startFaults.reloadLater()
      return undefined
    }
    if (isOnTrial) this.#revert(version.number, why)
    else this.#startFaults.versions.set(version.number, versionFault(version.number, why))
    this.#options.requestReload()
    return this.#made(base).config
  }

  async propose(change: ConfigChange): Promise<Proposal> {
    return await this.#turns.run(async () => {
      const planned = this.#plan(change)
      if (planned.kind !== 'planned') return planned
      const { overlay, confirmSeconds, diff } = planned
      const { now = Date.now, log, requestReload } = this.#options
      const { job } = change
      const version = await this.#versions().add({ overlay, job, confirmSeconds, createdAtMs: now() })
      const { number } = version
      log.info('a new configuration is on trial', {
        version: number,
        confirmSeconds,
        jobId: job?.jobId,
        ...loggedChanges(diff),
      })
      requestReload()
      return { kind: 'trial', number, diff }
    })
  }

  dryRun(change: ConfigChange): DryRun {
    const planned = this.#plan(change)
    return planned.kind === 'planned' ? { kind: 'diff', diff: planned.diff } : planned
  }

  outcomeOf(job: JobExecutionId): TrialOutcome | undefined {
    return this.#versions().outcomeOf(job)
  }

  async settled(job: JobExecutionId, signal: AbortSignal): Promise<SettledTrial | undefined> {
    return await this.#versions().settled(job, signal)
  }

  abandon(job: JobExecutionId, reason: string): void {
    const version = this.#versions().inForce()
    if (version?.state !== 'trial' || !isSameJob(version.job, job)) return
    this.#takeBack(version.number, reason)
  }

  status(): ConfigurationPart {
    return configurationPart(
      withBaseError(this.#options.file, this.current, this.#baseError ?? this.#startFaults.error),
    )
  }

  /** When the version in use goes back, on the monotonic clock; undefined while none is on trial. */
  trialEndsMs(): number | undefined {
    const { version } = this.current
    return version?.state === 'trial' && version.number === this.#trial?.number ? this.#trial.endsAtMs : undefined
  }

  /** What is in use, or is about to be. */
  get current(): MadeConfiguration {
    const made = this.#inUse ?? this.#loaded
    const { version } = made
    return { ...made, version: version && (this.#state?.versions.find(version.number) ?? version) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#startFaults[Symbol.dispose]()
    await this.#endState()
    await this.#turns.run(() => Promise.resolve())
  }

  #made(base: BaseDocument): MadeConfiguration {
    this.#loaded = this.#make(base)
    return this.#loaded
  }

  #make(base: BaseDocument): MadeConfiguration {
    const { file, log } = this.#options
    return makeConfiguration({
      file,
      base,
      log,
      versions: this.#state?.versions,
      unstartable: this.#startFaults.versions,
    })
  }

  async #readBase(): Promise<BaseDocument> {
    this.#isBaseWanted = false
    try {
      const base = await readBase(this.#options.file)
      this.#baseError = undefined
      this.#startFaults.forget()
      return base
    } catch (error) {
      this.#baseError = error
      const isSame = this.#state?.versions.inForce()?.number === this.#inUse?.version?.number
      if (isSame) throw error
      this.#options.log.error('the changed base file is at fault: the one in use stays', { error })
      return this.#loaded.base
    }
  }

  #plan(change: ConfigChange): RefusedChange | PlannedChange {
    const { base, config, version } = this.#toBeChanged()
    const onTrial = this.#versions().inForce()
    return planChange(
      {
        base,
        config,
        number: version?.number ?? 0,
        overlay: version?.overlay ?? {},
        trial: onTrial?.state === 'trial' ? onTrial.number : undefined,
      },
      change,
    )
  }

  /** A version that was taken back is in use until the next reload, and what comes then must not bring it back. */
  #toBeChanged(): MadeConfiguration {
    const { current } = this
    return this.#isTakenBack(current) ? this.#make(current.base) : current
  }

  #isTakenBack({ version }: MadeConfiguration): boolean {
    return version !== undefined && this.#versions().inForce((each) => each.number === version.number) === undefined
  }

  #trialOf({ number, confirmSeconds, job }: OverlayVersion): ConfigTrial | undefined {
    const { log, trialSecondMs = 1_000 } = this.#options
    const versions = this.#versions()
    if (versions.find(number)?.state !== 'trial') return undefined
    if (this.#trial?.number === number) return this.#trial
    this.#trial = new ConfigTrial({
      number,
      job,
      confirmMs: confirmSeconds * trialSecondMs,
      log,
      accept: () => versions.accept(number),
      revert: (reason) => {
        this.#takeBack(number, reason)
      },
    })
    return this.#trial
  }

  #takeBack(number: number, reason: string): void {
    this.#revert(number, reason)
    this.#options.requestReload()
  }

  #revert(number: number, reason: string): void {
    this.#versions().revert(number, reason)
    void this.#trial?.[Symbol.asyncDispose]()
    this.#trial = undefined
  }

  #versions(): OverlayVersions {
    if (this.#state === undefined) throw new AgentError('the agent is starting', { retryable: true })
    return this.#state.versions
  }

  async #endState(): Promise<void> {
    await this.#trial?.[Symbol.asyncDispose]()
    this.#trial = undefined
    await this.#state?.versions[Symbol.asyncDispose]()
    this.#state = undefined
  }
}
