import type { Config } from '../config/config-schema.ts'
import { withDeadline } from '../lib/abort.ts'
import { jittered } from '../lib/backoff.ts'
import { AgentError, reportError, type ErrorReport } from '../lib/errors.ts'
import { FailureLog } from '../lib/failure-log.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker, type Pass, type PassOutcome } from '../lib/worker.ts'
import type { FollowedPath } from './followed-path.ts'
import { LogCursorFile } from './log-cursors.ts'
import type { LogDestination } from './log-destination.ts'
import type { LogRing } from './log-ring.ts'
import { LogSenders } from './log-senders.ts'
import { LogSources } from './log-sources.ts'
import { LogTally } from './log-tally.ts'

export interface LogWorkerDeps {
  readonly config: Config['logs']
  /** The log group of all streams. */
  readonly group: string
  readonly destination: LogDestination
  /** The agent's own log, sent to stream `occ_log`. */
  readonly ring: LogRing
  /** Of the cursors; made with mode 0700 when it is not there. */
  readonly folder: string
  /** The cloud's time in milliseconds since 1970. */
  readonly cloudNow: () => number
  readonly log: Log
}

export interface LogSourceStatus {
  readonly path: string
  readonly stream: string
  readonly state: 'ok' | 'failing'
  /** Of the stream, on the monotonic clock. */
  readonly sinceMs?: number
  /** On the monotonic clock; while the stream is held back. */
  readonly nextAttemptMs?: number
  /** Everything of the file before it was accepted. */
  readonly positionBytes: number
  readonly sizeBytes: number
  /** On the monotonic clock; of the stream. */
  readonly lastAcceptedAtMs?: number
  readonly lastError?: ErrorReport
}

export interface LogStatus {
  /** One per file: a path has several while the rest of a rotated file is on its way. */
  readonly sources: readonly LogSourceStatus[]
  /** Events that are stored, since the worker was made. */
  readonly accepted: number
  /** Events refused for their time or dropped from the agent's own log. */
  readonly lost: number
  /** Bytes of files that went away before they were read. */
  readonly lostBytes: number
  /** Bytes that are there and not accepted, the agent's own log included. */
  readonly pendingBytes: number
}

export interface LogWorker extends AsyncDisposable {
  /**
   * Follows and sends until its signal aborts; batches in flight then go on until `flushOnStop` or disposal. Disposal
   * puts back into the ring what of it was not sent.
   */
  readonly worker: Worker
  status(): LogStatus
  /** Ends the back-off of every stream: what held them up may be over. */
  retryNow(): void
  /**
   * To be called once, when the worker has ended and the session still lives: reads once more and sends what there is, for 3 s at most
   * or until `signal` aborts, then saves the cursors. Never rejects.
   */
  flushOnStop(signal: AbortSignal): Promise<void>
}

/** Sends log files, and the agent's own log, to CloudWatch Logs: at least once, in order, nothing lost silently. */
export function createLogWorker(deps: LogWorkerDeps): LogWorker {
  return new FileLogWorker(deps)
}

const ownStream = 'occ_log'
const lookEveryMs = 1_000
const quietLineWaitMs = 60_000
const lastFlushMs = 3_000
const maxPartialBytes = 4 * 1_048_576
const stepMs = 60_000

class FileLogWorker implements LogWorker {
  readonly worker: Worker
  readonly #deps: LogWorkerDeps
  readonly #tally: LogTally
  readonly #senders: LogSenders
  readonly #sources: LogSources
  readonly #cursorFile: LogCursorFile
  readonly #lifetime = new AbortController()
  readonly #failures = new Map<string, FailureLog>()
  #saveError: unknown

  constructor(deps: LogWorkerDeps) {
    const { config, group, destination, cloudNow, folder, log } = deps
    this.#deps = deps
    this.#tally = new LogTally(log)
    this.#senders = new LogSenders({ group, destination, cloudNow, tally: this.#tally })
    this.#cursorFile = new LogCursorFile(folder, log)
    this.#sources = new LogSources({
      patterns: config.sources.flatMap((source) => (source.kind === 'file' ? [source.path] : [])),
      loadCursors: () => this.#cursorFile.load(),
      onBytesLost: (_path, removedBytes) => {
        this.#tally.lost({ removedBytes })
      },
      cloudNow,
    })
    this.worker = new Worker({ name: 'logs', log, runPass: (pass) => this.#runPass(pass), stepMs })
  }

  status(): LogStatus {
    const sources = this.#sources.paths.flatMap((path) =>
      path.files.map((file) => this.#sourceStatus(path, file.cursor)),
    )
    const unaccepted = sources.reduce((sum, { positionBytes, sizeBytes }) => sum + sizeBytes - positionBytes, 0)
    const own = this.#deps.ring.pendingBytes + (this.#senders.find(ownStream)?.heldBytes ?? 0)
    return { sources, ...this.#tally.totals, pendingBytes: unaccepted + own }
  }

  retryNow(): void {
    this.#senders.retryNow()
  }

  async flushOnStop(signal: AbortSignal): Promise<void> {
    this.#takeRing()
    const drained = async (inner: AbortSignal): Promise<void> => {
      inner.addEventListener('abort', () => {
        this.#lifetime.abort(inner.reason)
      })
      for (const path of this.#sources.nextTurn()) await this.#readFrom(path, inner)
      await this.#senders.drain(this.#lifetime.signal)
    }
    await withDeadline({ signal, withinMs: lastFlushMs, what: 'the last flush of logs' }, drained).catch(
      () => undefined,
    )
    await this.#endFlights()
    await this.#cursorFile.save(this.#sources.cursors).catch((error: unknown) => {
      this.#deps.log.error('log cursors cannot be saved: what was sent since they were is sent again', { error })
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endFlights()
    this.#giveBack()
    await this.#sources[Symbol.asyncDispose]()
  }

  async #runPass({ signal, beat }: Pass): Promise<PassOutcome> {
    await this.#sources.discover()
    this.#senders.keepOnly([ownStream, ...this.#sources.paths.map(({ stream }) => stream)])
    for (const path of this.#sources.nextTurn()) {
      if (signal.aborted) return { nextInMs: lookEveryMs }
      beat(stepMs)
      await this.#readFrom(path, signal)
    }
    if (!this.#senders.of(ownStream).isHeldBack) this.#takeRing()
    this.#tally.report()
    this.#startDue()
    this.#sources.forgetSettled()
    await this.#saveCursors()
    const fault = this.#fault()
    return { nextInMs: lookEveryMs, ...(fault === undefined ? {} : { fault }) }
  }

  async #readFrom(path: FollowedPath, signal: AbortSignal): Promise<void> {
    const sender = this.#senders.of(path.stream)
    const waitMs = jittered(this.#deps.config.flushSeconds * 1_000, 0.1)
    try {
      await path.look()
      for (let file = path.nextFile(); file !== undefined; file = path.nextFile()) {
        if (signal.aborted || sender.isFull(this.#senders.shareBytes)) break
        const readAtMs = monotonicMs()
        for (const { text, endBytes } of await file.read()) {
          const messageBytes = Buffer.byteLength(text)
          sender.offer({ message: text, messageBytes, readAtMs, dueAtMs: readAtMs + waitMs, origin: file, endBytes })
        }
        if (file.partialBytes > 0 && this.#sources.partialBytes > maxPartialBytes) file.cutPartialLine()
      }
      path.lastError = undefined
    } catch (error) {
      path.lastError = error
    }
  }

  #takeRing(): void {
    const sender = this.#senders.of(ownStream)
    if (sender.isFull(this.#senders.shareBytes)) return
    const { dropped, lines } = this.#deps.ring.take()
    const urgentWaitMs = jittered(this.#deps.config.flushSeconds * 1_000, 0.1)
    const firstAtMs = lines[0]?.atMs ?? monotonicMs()
    if (dropped > 0) {
      this.#tally.lost({ dropped })
      const message = `panorama-agent: ${dropped} lines of its own log were dropped before they could be sent`
      const messageBytes = Buffer.byteLength(message)
      sender.offer({ message, messageBytes, readAtMs: firstAtMs, dueAtMs: monotonicMs() + urgentWaitMs, endBytes: 0 })
    }
    for (const { text, textBytes, urgent, atMs } of lines) {
      const dueAtMs = atMs + (urgent ? urgentWaitMs : quietLineWaitMs)
      sender.offer({ message: text, messageBytes: textBytes, readAtMs: atMs, dueAtMs, endBytes: 0 })
    }
  }

  #startDue(): void {
    for (const sender of this.#senders.due()) {
      void sender.send(this.#lifetime.signal).then((isAccepted) => {
        // A backlog goes on at once instead of at the next look. The pass reports its own failure.
        if (isAccepted && !this.#lifetime.signal.aborted) this.worker.requestPass().catch(() => undefined)
      })
    }
  }

  async #saveCursors(): Promise<void> {
    try {
      await this.#cursorFile.saveIfDue(this.#sources.cursors)
      this.#saveError = undefined
    } catch (error) {
      this.#saveError = error
    }
  }

  /** Reports each stream, folder and file by itself, so that one failure does not hide or repeat another. */
  #fault(): AgentError | undefined {
    const failed = [
      ...this.#senders.failures(),
      ...this.#sources.failures(),
      ...(this.#saveError === undefined ? [] : [{ what: 'the cursor file', error: this.#saveError }]),
    ]
    for (const [what, failures] of this.#failures) {
      if (failed.some((failure) => failure.what === what)) continue
      failures.recovered('log upload goes on', { of: what })
      this.#failures.delete(what)
    }
    for (const { what, error } of failed) {
      const failures = this.#failures.get(what) ?? new FailureLog(this.#deps.log)
      this.#failures.set(what, failures)
      failures.failed('log upload is held up', error, { of: what })
    }
    const [first] = failed
    if (first === undefined) return undefined
    const retryable = failed.some(({ error }) => !(error instanceof AgentError) || error.retryable)
    const shown = failed.slice(0, 5).map(({ what }) => what)
    return new AgentError(`log upload is held up at ${shown.join(', ')}`, { retryable, cause: first.error })
  }

  #sourceStatus(
    { path, stream, lastError }: FollowedPath,
    cursor: { positionBytes: number; sizeBytes: number },
  ): LogSourceStatus {
    const sender = this.#senders.find(stream)
    const error = lastError ?? sender?.lastError
    const { positionBytes, sizeBytes } = cursor
    return {
      path,
      stream,
      state: error === undefined ? 'ok' : 'failing',
      positionBytes,
      sizeBytes,
      ...(sender === undefined ? {} : { sinceMs: sender.sinceMs }),
      ...(sender?.nextAttemptMs === undefined ? {} : { nextAttemptMs: sender.nextAttemptMs }),
      ...(sender?.lastAcceptedAtMs === undefined ? {} : { lastAcceptedAtMs: sender.lastAcceptedAtMs }),
      ...(error === undefined ? {} : { lastError: reportError(error) }),
    }
  }

  /** What the cloud has not got of the agent's own log is for the worker that comes next. */
  #giveBack(): void {
    const held = this.#senders.find(ownStream)?.held ?? []
    const lines = held.map(({ message, messageBytes, readAtMs, dueAtMs }) => ({
      text: message,
      textBytes: messageBytes,
      urgent: dueAtMs < readAtMs + quietLineWaitMs,
      atMs: readAtMs,
    }))
    this.#deps.ring.putBack(lines)
  }

  async #endFlights(): Promise<void> {
    this.#lifetime.abort(new AgentError('the log worker is stopping', { retryable: true }))
    await this.#senders.settled()
  }
}
