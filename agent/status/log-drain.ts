/** How far a backlog of logs is. */
export interface DrainProgress {
  readonly sentBytes: number
  readonly totalBytes: number
  /** Undefined as long as it does not become less. */
  readonly bytesPerSecond: number | undefined
}

/** Less goes along with one batch. */
const leastBytes = 1_048_576
/** How far the rate looks back. */
const smoothingMs = 10_000

/** Makes of what waits, looked at time and again, how far its sending is: the most that ever waited is the whole. */
export class LogDrain {
  #atMs: number | undefined
  #peakBytes = 0
  #pendingBytes = 0
  #perMs: number | undefined

  /** `atMs` is on any clock that does not jump. */
  note(pendingBytes: number, atMs: number): void {
    const elapsedMs = this.#atMs === undefined ? 0 : atMs - this.#atMs
    if (elapsedMs > 0) this.#smooth((this.#pendingBytes - pendingBytes) / elapsedMs, elapsedMs)
    this.#atMs = atMs
    this.#pendingBytes = pendingBytes
    this.#peakBytes = pendingBytes < leastBytes ? 0 : Math.max(this.#peakBytes, pendingBytes)
    if (this.#peakBytes === 0) this.#perMs = undefined
  }

  /** Undefined while no more waits than goes along with the next batches. */
  get progress(): DrainProgress | undefined {
    if (this.#peakBytes === 0) return undefined
    const perMs = this.#perMs ?? 0
    return {
      sentBytes: this.#peakBytes - this.#pendingBytes,
      totalBytes: this.#peakBytes,
      bytesPerSecond: perMs > 0 ? perMs * 1_000 : undefined,
    }
  }

  #smooth(perMs: number, elapsedMs: number): void {
    const before = this.#perMs ?? perMs
    this.#perMs = before + (1 - Math.exp(-elapsedMs / smoothingMs)) * (perMs - before)
  }
}
