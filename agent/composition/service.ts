import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { openSdNotify, type SdNotify } from '../lib/sd-notify.ts'
import type { Worker } from '../lib/worker.ts'
import type { ProxyEnvironment } from '../network/proxy-settings.ts'
import { forgetOverdue, noteOverdue } from '../status/last-run.ts'
import type { StatusReport } from '../status/status-document.ts'
import { statusLine } from '../status/status-line.ts'

/** What systemd hands to a service in its environment; empty where something else started it. */
export interface ServiceEnvironment {
  /** `$NOTIFY_SOCKET` */
  readonly notifySocket?: string
  /** `$WATCHDOG_USEC`, when `$WATCHDOG_PID` is ours. */
  readonly watchdogMs?: number
  /** `$RUNTIME_DIRECTORY` */
  readonly runtimeDirectory?: string
  /** `$STATE_DIRECTORY` */
  readonly stateDirectory?: string
  /** `$PANORAMA_BOOT_ID`: of this boot (specifier `%b`), which the unit's view of /proc does not show. */
  readonly bootId?: string
  /** `$CREDENTIALS_DIRECTORY` */
  readonly credentialsFolder?: string
  /** `$HTTPS_PROXY` and `$NO_PROXY`, or the same in lower case. */
  readonly proxy?: ProxyEnvironment
}

/** What the service manager is told about. */
export interface Watched {
  workers(): readonly Pick<Worker, 'name' | 'overdueMs'>[]
  status(): StatusReport
  /** Where the next run finds a note of what was stuck. */
  readonly runtimeFolder: string
}

const longestTickMs = 5_000
/** sd_watchdog_enabled(3) recommends half of the time; this leaves room for two that are lost. */
const kicksPerWatchdog = 4
/** More than workers get to end, and a session to begin. */
const longestReloadMs = 120_000

/**
 * Tells systemd how the agent is: READY, RELOADING, STOPPING, one line of STATUS, and WATCHDOG while no worker is
 * overdue, and no reload, during which no worker may be there that could be. A stuck event loop sends nothing, so the
 * watchdog catches it by itself.
 */
export class Service implements Disposable {
  readonly #environment: ServiceEnvironment
  readonly #log: Log
  readonly #onFirstReady: () => void
  readonly #notify: SdNotify | undefined
  readonly #timer: NodeJS.Timeout
  readonly #tickMs: number
  #tickedAtMs = monotonicMs()
  #wasLate = false
  #watched: Watched | undefined
  #overdue: readonly string[] = []
  #lastLine = ''
  #reloadingSinceMs: number | undefined
  /** The last READY or RELOADING, while the service manager's queue has no room for it. */
  #untold: readonly string[] | undefined
  #isStopping = false

  /** `onFirstReady` is for what had better not hold up the start. */
  constructor(environment: ServiceEnvironment, log: Log, onFirstReady: () => void = () => undefined) {
    this.#environment = environment
    this.#log = log
    this.#onFirstReady = onFirstReady
    this.#notify = this.#open()
    const { watchdogMs = Infinity } = environment
    this.#tickMs = Math.min(watchdogMs / kicksPerWatchdog, longestTickMs)
    this.#timer = setInterval(() => {
      this.#tick()
    }, this.#tickMs)
  }

  /** Everything of one configuration is up; the network need not be. */
  ready(watched: Watched): void {
    if (this.#isStopping) return
    const isFirst = this.#watched === undefined
    this.#watched = watched
    this.kept()
    this.#tick()
    if (isFirst) this.#onFirstReady()
  }

  /** systemd wants to know when, on the monotonic clock, the reload began. */
  reloading(): void {
    this.#reloadingSinceMs ??= monotonicMs()
    this.#tell('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`)
  }

  /** The reload changed nothing. */
  kept(): void {
    this.#reloadingSinceMs = undefined
    this.#tell('READY=1')
  }

  /** Of this boot, as systemd tells it. */
  get bootId(): string | undefined {
    return this.#environment.bootId
  }

  /** Where systemd has put the credentials of the unit. */
  get credentialsFolder(): string | undefined {
    return this.#environment.credentialsFolder
  }

  /** The agent gives up because of these workers: the next run tells of them. */
  stuck(workers: readonly string[]): void {
    if (this.#watched !== undefined) this.#note(workers, this.#watched.runtimeFolder)
  }

  /** Nothing is said after it: systemd takes it as final. */
  stopping(): void {
    this.#isStopping = true
    this.#notify?.send('STOPPING=1', 'STATUS=Stopping')
    this.#watched = undefined
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
    this.#notify?.[Symbol.dispose]()
  }

  /** Without it systemd gives up on the start and says so; the reason stands in the log. */
  #open(): SdNotify | undefined {
    const { notifySocket } = this.#environment
    if (notifySocket === undefined) return undefined
    try {
      return openSdNotify(notifySocket)
    } catch (error) {
      this.#log.error('the service manager cannot be told anything', { error })
      return undefined
    }
  }

  #tell(...state: readonly string[]): void {
    if (this.#isStopping) return
    this.#untold = this.#notify?.send(...state) === false ? state : undefined
  }

  #tick(): void {
    const watched = this.#watched
    if (watched === undefined) return
    if (this.#untold !== undefined) this.#tell(...this.#untold)
    if (!this.#isLate()) this.#judge(this.#overdueNow(watched), watched.runtimeFolder)
    // apart from the status: systemd ignores a message as a whole, such as one that is too long
    const isWatched = this.#environment.watchdogMs !== undefined
    if (isWatched && this.#overdue.length === 0) this.#notify?.send('WATCHDOG=1')
    const line = statusLine(watched.status())
    if (line !== this.#lastLine && this.#notify?.send(`STATUS=${line}`) === true) this.#lastLine = line
  }

  /**
   * After a stop of the whole process, or of its machine, every worker is late as well, and has had no chance yet. Never
   * so twice in a row: workers that are stuck are found out all the same.
   */
  #isLate(): boolean {
    const nowMs = monotonicMs()
    this.#wasLate = !this.#wasLate && nowMs - this.#tickedAtMs > 2 * this.#tickMs
    this.#tickedAtMs = nowMs
    return this.#wasLate
  }

  #overdueNow(watched: Watched): readonly string[] {
    const overdue = watched.workers().filter((worker) => worker.overdueMs() > 0)
    const names = overdue.map(({ name }) => name)
    const sinceMs = this.#reloadingSinceMs ?? Infinity
    return monotonicMs() - sinceMs > longestReloadMs ? [...names, 'reload'] : names
  }

  /** While a worker is overdue the watchdog is not kicked; what the next run needs to know is written down first. */
  #judge(overdue: readonly string[], runtimeFolder: string): void {
    const isSame = overdue.join() === this.#overdue.join()
    this.#overdue = overdue
    if (isSame) return
    this.#note(overdue, runtimeFolder)
    if (overdue.length === 0) this.#log.info('no worker is overdue any more')
    else this.#log.error('a worker is overdue: the watchdog is left to restart the agent', { overdue })
  }

  #note(workers: readonly string[], runtimeFolder: string): void {
    try {
      if (workers.length === 0) forgetOverdue(runtimeFolder)
      else noteOverdue(runtimeFolder, workers)
    } catch (error) {
      this.#log.warn('the note about overdue workers cannot be written', { error })
    }
  }
}
