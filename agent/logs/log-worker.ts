import type { Config } from '../config/config-schema.ts'
import { withDeadline } from '../lib/abort.ts'
import { jittered } from '../lib/backoff.ts'
import { AgentError, reportError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker, type Pass, type PassOutcome } from '../lib/worker.ts'
import { noteBacklogs } from './backlogs.ts'
import type { DeliveredSource, LogSourceContext } from './delivered-source.ts'
import { EventClock, oldestWantedMs, type EventClockDeps } from './events/event-clock.ts'
import { FailureLogs, type NamedFailure } from './failure-logs.ts'
import { GapOutbox } from './delivery/gap-outbox.ts'
import { LogStateFile, type LogState } from './log-cursors.ts'
import type { LogDestination, LogTarget } from './log-destination.ts'
import type { LogRing } from './log-ring.ts'
import { LogSenders } from './delivery/log-senders.ts'
import type { GapRecord } from './log-source.ts'
import { describeLogs, describeStreams, type LogStatus, type LogStreamStatus, type WaitingParts } from './log-status.ts'
import { LogTally, type LogCounts } from './log-tally.ts'
import { OwnLog } from './own-log.ts'
import { SendPace } from './delivery/send-pace.ts'
import { targetKey } from './target-key.ts'

export type LogSettings = Pick<
  Config['logs'],
  'flushSeconds' | 'maxBytesPerSecond' | 'maxBacklogHours' | 'minLevelWhenBehind'
>

export interface LogWorkerDeps extends EventClockDeps {
  readonly config: LogSettings
  /** Of the agent's own streams, `occ_log` and `metrics`. */
  readonly group: string
  /** Makes the sources, once the saved state is read; they are the worker's from then on. */
  readonly sources: (context: LogSourceContext) => readonly DeliveredSource[]
  readonly destination: LogDestination
  /** The agent's own log, sent to stream `occ_log` unless a source covers it. */
  readonly ring: LogRing
  /** Of the cursors; made with mode 0700 when it is not there. */
  readonly folder: string
  /** Of their copy in memory: a file in a folder that is there. */
  readonly cursorCopy: string
  readonly log: Log
  /** Of all log workers of this run of the agent. Default: of this one alone. */
  readonly counts?: LogCounts | undefined
}

export interface LogWorker extends AsyncDisposable {
  /**
   * Follows and sends until its signal aborts; batches in flight then go on until `flushOnStop` or disposal. Disposal
   * puts back into the ring what of it was not sent.
   */
  readonly worker: Worker
  status(): LogStatus
  /** What waits for its upload, by stream. */
  streams(): readonly LogStreamStatus[]
  /** Sends a record to stream `metrics`, before everything else. Of those that cannot be sent the newest ten are kept. */
  offerMetrics(message: string): void
  /** Ends the back-off of every stream: what held them up may be over. */
  retryNow(): void
  /**
   * To be called once, when the worker has ended and the session still lives: reads once more and sends what there is, for 3 s at most
   * or until `signal` aborts, then saves the cursors. Never rejects.
   */
  flushOnStop(signal: AbortSignal): Promise<void>
}

/** Sends what sources have, and the agent's own log, to CloudWatch Logs: at least once, in order, nothing lost silently. */
export function createLogWorker(deps: LogWorkerDeps): LogWorker {
  return new DeliveringWorker(deps)
}

const ownStream = 'occ_log'
const metricsStream = 'metrics'
const lookEveryMs = 1_000
const lastFlushMs = 3_000
const stepMs = 60_000
const betweenDispatchesMs = 5
const hourMs = 3_600_000

class DeliveringWorker implements LogWorker {
  readonly worker: Worker
  readonly #deps: LogWorkerDeps
  readonly #own: LogTarget
  readonly #metrics: LogTarget
  readonly #tally: LogTally
  readonly #clock: EventClock
  readonly #maxAgeMs: number
  readonly #outbox = new GapOutbox()
  readonly #senders: LogSenders
  readonly #ownLog: OwnLog
  readonly #stateFile: LogStateFile
  readonly #lifetime = new AbortController()
  readonly #failures: FailureLogs
  readonly #onGap: (gap: GapRecord) => void
  /** Undefined until the saved state was read. */
  #loaded: readonly DeliveredSource[] | undefined
  /** What was saved of the journal, kept while no source reads it. */
  #savedJournal: unknown
  #readFailures: readonly NamedFailure[] = []
  #stateError: unknown

  constructor(deps: LogWorkerDeps) {
    const { group, ring, folder, cursorCopy, log } = deps
    this.#deps = deps
    this.#own = { group, stream: ownStream }
    this.#metrics = { group, stream: metricsStream }
    this.#tally = new LogTally(log, deps.counts)
    this.#clock = new EventClock(deps)
    this.#maxAgeMs = deps.config.maxBacklogHours * hourMs
    this.#failures = new FailureLogs(log)
    this.#stateFile = new LogStateFile({ folder, copyPath: cursorCopy, log })
    this.#onGap = (gap) => {
      this.#outbox.add(gap)
      this.#tally.missing(gap)
    }
    this.#senders = this.#createSenders()
    this.#ownLog = new OwnLog({ ring, target: this.#own, onGap: this.#onGap })
    this.worker = new Worker({ name: 'logs', log, runPass: (pass) => this.#runPass(pass), stepMs })
  }

  status(): LogStatus {
    const failures = [...new Set(this.#failed().map(({ error }) => reportError(error).name))]
    return { ...describeLogs(this.#waiting, this.#tally.totals), failures }
  }

  streams(): readonly LogStreamStatus[] {
    return describeStreams(this.#waiting)
  }

  offerMetrics(message: string): void {
    this.#senders.of(this.#metrics).post(message)
  }

  retryNow(): void {
    this.#senders.retryNow()
  }

  async flushOnStop(signal: AbortSignal): Promise<void> {
    await this.#load()
    this.#takeOwnLog({ isStopping: true })
    const drained = async (inner: AbortSignal): Promise<void> => {
      inner.addEventListener('abort', () => {
        this.#lifetime.abort(inner.reason)
      })
      await this.#read({ signal: inner, beat: () => undefined })
      await this.#senders.drain(this.#lifetime.signal)
    }
    await withDeadline({ signal, withinMs: lastFlushMs, what: 'the last flush of logs' }, drained).catch(
      () => undefined,
    )
    await this.#endFlights()
    if (this.#loaded === undefined) return
    await this.#stateFile.save(this.#state()).catch((error: unknown) => {
      this.#deps.log.error('log cursors cannot be saved: what was sent since they were is sent again', { error })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endFlights()
    this.#ownLog.putBack(this.#senders.find(this.#own)?.queue.held() ?? [])
    for (const source of this.#sources) await source[Symbol.asyncDispose]()
  }

  get #sources(): readonly DeliveredSource[] {
    return this.#loaded ?? []
  }

  get #waiting(): WaitingParts {
    const own = { target: this.#own, log: this.#ownLog }
    return { sources: this.#sources, senders: this.#senders, outbox: this.#outbox, own }
  }

  async #runPass({ signal, beat }: Pass): Promise<PassOutcome> {
    await this.#load()
    let dispatchedAtMs = monotonicMs()
    const step = (): void => {
      beat(stepMs)
      // Full batches are on their way while the next are read; others wait for the end, so that more goes along.
      if (monotonicMs() - dispatchedAtMs < betweenDispatchesMs) return
      dispatchedAtMs = monotonicMs()
      if (this.#senders.isCatchingUp) this.#dispatch()
    }
    await this.#read({ signal, beat: step })
    if (signal.aborted) return { nextInMs: lookEveryMs }
    this.#noteStreams()
    this.#takeOwnLog({ isStopping: false })
    this.#tally.report()
    const waitMs = this.#dispatch()
    await this.#saveState()
    const fault = this.#failures.report(this.#failed())
    const nextInMs = Math.min(lookEveryMs, waitMs)
    return { nextInMs, ...(fault === undefined ? {} : { fault }) }
  }

  async #read(pass: { readonly signal: AbortSignal; readonly beat: () => void }): Promise<void> {
    const failures: NamedFailure[] = []
    for (const source of this.#sources) {
      if (pass.signal.aborted) return
      pass.beat()
      await source.read(this.#senders, pass).catch((error: unknown) => {
        if (!pass.signal.aborted) failures.push({ what: 'a log source', error })
      })
    }
    this.#readFailures = failures
  }

  #noteStreams(): void {
    for (const target of this.#outbox.targets) this.#senders.of(target)
    const fed = this.#sources.flatMap(({ targets }) => targets)
    this.#senders.keepOnly([this.#own, this.#metrics, ...this.#outbox.targets, ...fed])
    if (this.#deps.config.minLevelWhenBehind === 'debug') return
    noteBacklogs(this.#sources, this.#senders)
  }

  #takeOwnLog({ isStopping }: { readonly isStopping: boolean }): void {
    this.#ownLog.moveTo(this.#senders.of(this.#own), { sources: this.#sources, isStopping })
  }

  #dispatch(): number {
    return this.#senders.dispatch(this.#lifetime.signal, () => {
      // There is room for more: it goes on at once instead of at the next look. The pass reports its own failure.
      if (!this.#lifetime.signal.aborted) this.worker.requestPass().catch(() => undefined)
    })
  }

  async #load(): Promise<void> {
    if (this.#loaded !== undefined) return
    try {
      const { gaps, ...positions } = await this.#stateFile.load()
      this.#outbox.restore(gaps)
      this.#savedJournal = positions.journal
      const oldestMs = (): number | undefined => oldestWantedMs(this.#clock.read(), this.#maxAgeMs)
      this.#loaded = this.#deps.sources({ positions, onGap: this.#onGap, cloudNow: this.#deps.cloudNow, oldestMs })
      this.#stateError = undefined
    } catch (error) {
      this.#stateError = error
    }
  }

  async #saveState(): Promise<void> {
    if (this.#loaded === undefined) return
    try {
      if (await this.#stateFile.saveIfDue(() => this.#state())) this.#stateError = undefined
    } catch (error) {
      this.#stateError = error
    }
  }

  #state(): LogState {
    const positions = this.#sources.flatMap(({ positions }) => (positions === undefined ? [] : [positions]))
    return {
      files: positions.flatMap(({ files = [] }) => files),
      journal: positions.find(({ journal }) => journal !== undefined)?.journal ?? this.#savedJournal,
      gaps: this.#outbox.gaps,
    }
  }

  #failed(): readonly NamedFailure[] {
    const { copyError } = this.#stateFile
    const unsaved = { what: 'the cursor file', error: this.#stateError }
    return [
      ...this.#senders.failures(),
      ...this.#sources.flatMap((source) => source.failures()),
      ...this.#readFailures,
      ...(this.#stateError === undefined ? [] : [unsaved]),
      ...(copyError === undefined ? [] : [{ what: 'the copy of the cursor file', error: copyError }]),
    ]
  }

  #createSenders(): LogSenders {
    const { config, group, destination } = this.#deps
    return new LogSenders({
      group,
      destination,
      clock: this.#clock,
      tally: this.#tally,
      outbox: this.#outbox,
      onGap: this.#onGap,
      pace: new SendPace(config.maxBytesPerSecond),
      remember: () => {
        if (this.#loaded !== undefined) this.#stateFile.copy(this.#state())
      },
      flushMs: () => jittered(config.flushSeconds * 1_000, 0.1),
      maxAgeMs: this.#maxAgeMs,
      minLevelWhenBehind: config.minLevelWhenBehind,
      laneOf: (target) => {
        const key = targetKey(target)
        return key === targetKey(this.#metrics) ? 1 : key === targetKey(this.#own) ? 2 : 3
      },
    })
  }

  async #endFlights(): Promise<void> {
    this.#lifetime.abort(new AgentError('the log worker is stopping', { retryable: true }))
    await this.#senders.settled()
  }
}
