import type { Log } from '../../lib/log.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import type { WantedFile } from '../release/wanted-release.ts'
import type { ArtifactProgress } from '../artifact-status.ts'
import { TransferMeter } from './transfer-meter.ts'

/** Downloads that are over sooner say nothing. */
const quietMs = 30_000
const stepPercent = 10

/** How far a plan's fetches are. Logs every tenth of them, once they have taken half a minute. */
export class FetchProgress {
  readonly #log: Log
  readonly #meter = new TransferMeter()
  readonly #totalFiles: number
  readonly #totalBytes: number
  readonly #startedMs = monotonicMs()
  #files = 0
  #bytes = 0
  #loggedPercent = 0

  constructor(fetches: readonly WantedFile[], log: Log) {
    this.#log = log
    this.#totalFiles = fetches.length
    this.#totalBytes = fetches.reduce((sum, { object }) => sum + object.sizeBytes, 0)
  }

  /** A file is complete. */
  countFile(): void {
    this.#files += 1
  }

  countFetched(bytes: number): void {
    this.#meter.count(bytes)
    this.#bytes += bytes
    this.#logStep()
  }

  /** Bytes that an earlier pass brought. */
  countResumed(bytes: number): void {
    this.#bytes += bytes
  }

  read(): ArtifactProgress {
    const { bytesPerSecond } = this.#meter
    const leftBytes = Math.max(0, this.#totalBytes - this.#bytes)
    return {
      files: this.#files,
      totalFiles: this.#totalFiles,
      bytes: this.#bytes,
      totalBytes: this.#totalBytes,
      bytesPerSecond: bytesPerSecond === undefined ? undefined : Math.round(bytesPerSecond),
      remainingSeconds:
        bytesPerSecond === undefined || bytesPerSecond < 1 ? undefined : Math.ceil(leftBytes / bytesPerSecond),
    }
  }

  #logStep(): void {
    const percent = Math.floor((this.#bytes * 100) / Math.max(1, this.#totalBytes))
    if (percent < this.#loggedPercent + stepPercent || monotonicMs() - this.#startedMs < quietMs) return
    this.#loggedPercent = percent - (percent % stepPercent)
    this.#log.info('download goes on', { percent: this.#loggedPercent, ...this.read() })
  }
}
