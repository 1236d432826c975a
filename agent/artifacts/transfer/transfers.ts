import { ByteRate } from '../../lib/byte-rate.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { SharedBudget, type BudgetShare } from '../../lib/shared-budget.ts'
import { sleep } from '../../lib/sleep.ts'
import { msUntilOpen, type DownloadWindow } from './download-windows.ts'

/** What all transfers of the appliance keep to together. */
export interface TransferLimits {
  readonly maxBytesPerSecond?: number | undefined
  /** Downloads begin only inside of one; empty: always. */
  readonly windows: readonly DownloadWindow[]
  /** What has to stay free on the file system of the artifacts. */
  readonly minFreeBytes: number
  /** What may have been asked for and not be on the disk, and what of it may be in memory, each. */
  readonly maxInFlightBytes: number
}

export interface TransfersOptions {
  readonly limits: TransferLimits
  /** How many artifacts share. */
  readonly artifacts: number
  /** Milliseconds since 1970. */
  readonly cloudNow: () => number
  /** How long downloads have to wait whatever the windows say, also when a person asks. Default: not at all. */
  readonly msUntilAllowed?: (() => number) | undefined
}

/** Who waits, and how it shows that it lives. */
export interface Waiting {
  readonly signal: AbortSignal
  /** Called at least every 10 s while something is waited for on purpose. */
  readonly beat: () => void
}

const maxConnections = 64
/** With less than this for each, connections only wait for one another. */
const bytesPerSecondPerConnection = 16 * 1024
const longestBlockBytes = 1024 * 1024
const longestPauseMs = 120_000
const sliceMs = 10_000

/**
 * What the transfers of all artifacts share: bytes in flight, memory, connections, rate, windows, and respect for a source
 * that is overloaded.
 */
export class Transfers {
  readonly limits: TransferLimits
  readonly #cloudNow: () => number
  readonly #msUntilAllowed: () => number
  readonly #inFlight: SharedBudget
  readonly #memory: SharedBudget
  readonly #connections: SharedBudget
  readonly #rate: ByteRate | undefined
  #pausedUntilMs = 0

  constructor({ limits, artifacts, cloudNow, msUntilAllowed = () => 0 }: TransfersOptions) {
    const { maxBytesPerSecond = Infinity, maxInFlightBytes } = limits
    const useful = Math.max(2, Math.floor(maxBytesPerSecond / bytesPerSecondPerConnection))
    this.limits = limits
    this.#cloudNow = cloudNow
    this.#msUntilAllowed = msUntilAllowed
    this.#inFlight = new SharedBudget(maxInFlightBytes, artifacts)
    this.#memory = new SharedBudget(maxInFlightBytes, artifacts)
    this.#connections = new SharedBudget(Math.max(artifacts, Math.min(maxConnections, useful)), artifacts)
    this.#rate = Number.isFinite(maxBytesPerSecond) ? new ByteRate(maxBytesPerSecond) : undefined
  }

  /** To be called once for each artifact. */
  lane(): TransferLane {
    return new TransferLane(this, {
      inFlight: this.#inFlight.share(),
      memory: this.#memory.share(),
      connections: this.#connections.share(),
    })
  }

  /** How long downloads have to wait; 0 when they may begin. Where a person asks for them at once, windows do not count. */
  msUntilOpen(isAtOnce: boolean): number {
    const windowMs = isAtOnce ? 0 : msUntilOpen(this.limits.windows, new Date(this.#cloudNow()))
    return Math.max(windowMs, this.#msUntilAllowed())
  }

  /** Nobody asks the source for anything for so long, at most two minutes. */
  pause(forMs: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, monotonicMs() + Math.min(forMs, longestPauseMs))
  }

  async pauseEnded({ signal, beat }: Waiting): Promise<void> {
    for (let leftMs = this.#leftMs(); leftMs > 0; leftMs = this.#leftMs()) {
      await sleep(Math.min(leftMs, sliceMs), signal)
      beat()
    }
  }

  /** Undefined without a limit, so that nothing has to be waited for. */
  take(bytes: number, { signal, beat }: Waiting): Promise<void> | undefined {
    return this.#rate?.take(bytes, signal, beat)
  }

  #leftMs(): number {
    return this.#pausedUntilMs - monotonicMs()
  }
}

interface Shares {
  readonly inFlight: BudgetShare
  readonly memory: BudgetShare
  readonly connections: BudgetShare
}

/**
 * One artifact's part of the transfers: the others cannot bring it to a halt. Who `hold`s may `enter`, and not the other
 * way round, so that no two wait for each other.
 */
export class TransferLane {
  readonly transfers: Transfers
  /** How much one request may hold in memory before it has to write. */
  readonly blockBytes: number
  /** What is larger had better be asked for in pieces: it would not be counted in full. */
  readonly requestBytes: number
  readonly #shares: Shares

  constructor(transfers: Transfers, shares: Shares) {
    this.transfers = transfers
    this.requestBytes = shares.inFlight.guaranteed
    this.blockBytes = Math.min(longestBlockBytes, shares.memory.guaranteed)
    this.#shares = shares
  }

  /**
   * Waits until `bytes` may be in flight: from before they are asked for until they are handed on as being on the disk. A
   * crash costs what is held, however often a request has to be made for it.
   */
  async hold(bytes: number, signal: AbortSignal): Promise<Disposable> {
    return await this.#shares.inFlight.acquire(Math.min(bytes, this.requestBytes), signal)
  }

  /** Waits until a request may be made that brings `bytes`; disposing says that it is over. */
  async enter(bytes: number, waiting: Waiting): Promise<Disposable> {
    using owned = new DisposableStack()
    await this.transfers.pauseEnded(waiting)
    owned.use(await this.#shares.connections.acquire(1, waiting.signal))
    owned.use(await this.#shares.memory.acquire(Math.min(bytes, this.blockBytes), waiting.signal))
    return owned.move()
  }
}
