import { existsSync } from 'node:fs'

/**
 * Loaded into the agent under test: from the moment that the file `$FAST_CLOCK_TRIGGER` appears, time runs
 * `$FAST_CLOCK_FACTOR` times as fast for the agent, until `$FAST_CLOCK_HOURS` have passed for it. Timers, `Date` and the
 * monotonic clock agree with each other; sockets and other processes live in real time.
 */
const trigger = process.env['FAST_CLOCK_TRIGGER'] ?? ''
const factor = Number(process.env['FAST_CLOCK_FACTOR'])
const spanMs = (Number(process.env['FAST_CLOCK_HOURS']) * 3_600_000) / factor
const realPerformanceNow = performance.now.bind(performance)
const realDate = Date
const realHrtime = process.hrtime.bind(process)
const realSetTimeout = setTimeout
const realClearTimeout = clearTimeout
const clock = { startedMs: Infinity }
const pending = new Set<FastTimer>()

/** How far the agent's time is ahead, in milliseconds. */
function aheadMs(): number {
  const fastMs = Math.min(Math.max(realPerformanceNow() - clock.startedMs, 0), spanMs)
  return fastMs * (factor - 1)
}

function now(): number {
  return realPerformanceNow() + aheadMs()
}

/** Real milliseconds until the agent's time has moved on by `ms`. */
function realDelay(ms: number): number {
  const fastLeftMs = clock.startedMs === Infinity ? 0 : clock.startedMs + spanMs - realPerformanceNow()
  if (fastLeftMs <= 0) return ms
  return ms <= fastLeftMs * factor ? ms / factor : fastLeftMs + (ms - fastLeftMs * factor)
}

class FastTimer {
  readonly #call: () => void
  readonly #periodMs: number
  readonly #repeats: boolean
  #dueMs = 0
  #isRef = true
  #real: NodeJS.Timeout | undefined

  constructor(call: () => void, ms: number | undefined, repeats: boolean) {
    this.#call = call
    this.#periodMs = Math.max(Number(ms) || 1, 1)
    this.#repeats = repeats
    this.refresh()
  }

  /** Starts anew with the whole time. */
  refresh(): this {
    this.#dueMs = now() + this.#periodMs
    pending.add(this)
    this.arm()
    return this
  }

  /** Sets the real timer, also after the clock has changed its pace. */
  arm(): void {
    realClearTimeout(this.#real)
    this.#real = realSetTimeout(
      () => {
        this.#fire()
      },
      realDelay(this.#dueMs - now()),
    )
    if (!this.#isRef) this.#real.unref()
  }

  close(): this {
    realClearTimeout(this.#real)
    pending.delete(this)
    return this
  }

  ref(): this {
    this.#isRef = true
    this.#real?.ref()
    return this
  }

  unref(): this {
    this.#isRef = false
    this.#real?.unref()
    return this
  }

  hasRef(): boolean {
    return this.#isRef
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #fire(): void {
    if (now() < this.#dueMs - 1) {
      this.arm()
      return
    }
    if (this.#repeats) this.refresh()
    else pending.delete(this)
    this.#call()
  }
}

type Callback = (...args: readonly unknown[]) => void

function timerFunction(repeats: boolean) {
  return (callback: Callback, ms?: number, ...args: readonly unknown[]): FastTimer =>
    new FastTimer(
      () => {
        callback(...args)
      },
      ms,
      repeats,
    )
}

function clear(real: (timer: NodeJS.Timeout) => void) {
  return (timer: unknown): void => {
    if (timer instanceof FastTimer) timer.close()
    else real(timer as NodeJS.Timeout)
  }
}

Object.assign(globalThis, {
  setTimeout: Object.assign(timerFunction(false), realSetTimeout),
  setInterval: timerFunction(true),
  clearTimeout: clear(realClearTimeout),
  clearInterval: clear(clearInterval),
  Date: new Proxy(realDate, {
    construct: (target, args, made) =>
      Reflect.construct(target, args.length === 0 ? [realDate.now() + aheadMs()] : args, made) as Date,
    get: (target, key): unknown =>
      key === 'now' ? () => Math.round(realDate.now() + aheadMs()) : Reflect.get(target, key),
  }),
})
Object.defineProperty(performance, 'now', { value: now })
process.hrtime = Object.assign(
  (from?: [number, number]): [number, number] => {
    const nowNs =
      process.hrtime.bigint() - (from === undefined ? 0n : BigInt(from[0]) * 1_000_000_000n + BigInt(from[1]))
    return [Number(nowNs / 1_000_000_000n), Number(nowNs % 1_000_000_000n)]
  },
  { bigint: () => realHrtime.bigint() + BigInt(Math.round(aheadMs() * 1e6)) },
)

function watch(): void {
  if (!existsSync(trigger)) {
    realSetTimeout(watch, 100).unref()
    return
  }
  clock.startedMs = realPerformanceNow()
  for (const timer of pending) timer.arm()
}

watch()
