/**
 * A value whose changes are seen some time after they were made, as AWS's control planes have it. Times are the
 * cloud's: shifting the cloud forward makes a pending change visible.
 */
export class Eventually<T> {
  readonly #now: () => number
  #versions: readonly { readonly value: T; readonly visibleAtMs: number }[]

  constructor(now: () => number, initial: T) {
    this.#now = now
    this.#versions = [{ value: initial, visibleAtMs: -Infinity }]
  }

  /** The change made last among those that are visible by now. */
  get(): T {
    const nowMs = this.#now()
    const newest = this.#versions.findLastIndex(({ visibleAtMs }) => visibleAtMs <= nowMs)
    const version = this.#versions[newest]
    if (version === undefined) throw new Error('an Eventually has a visible value at all times')
    this.#versions = [{ ...version, visibleAtMs: -Infinity }, ...this.#versions.slice(newest + 1)]
    return version.value
  }

  /** The change made last, whether visible or not. */
  newest(): T {
    return this.#versions.at(-1)?.value ?? this.get()
  }

  set(value: T, visibleAfterMs = 0): void {
    this.#versions = [...this.#versions, { value, visibleAtMs: this.#now() + visibleAfterMs }]
  }
}

/** Named values, each of which appears, changes and disappears eventually. */
export class EventualMap<T> {
  readonly #now: () => number
  readonly #entries = new Map<string, Eventually<T | undefined>>()

  constructor(now: () => number) {
    this.#now = now
  }

  get(name: string): T | undefined {
    return this.#entries.get(name)?.get()
  }

  set(name: string, value: T | undefined, visibleAfterMs = 0): void {
    const entry = this.#entries.get(name) ?? new Eventually<T | undefined>(this.#now, undefined)
    entry.set(value, visibleAfterMs)
    this.#entries.set(name, entry)
  }
}
