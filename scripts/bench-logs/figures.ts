import { readFile } from 'node:fs/promises'

/** What a program measured of itself. */
export interface Figures {
  /** From the first look at the file to the last acceptance. */
  readonly wallSeconds: number
  /** Of all threads, from the start of the process. */
  readonly cpuSeconds: number
  /** The part of it before the file was looked at: loading. */
  readonly loadingSeconds: number
  readonly peakMiB: number
}

export class Stopwatch {
  readonly #startMs = performance.now()
  readonly #loadingSeconds = cpuSeconds()

  /** Writes the figures to the standard output, as one line of JSON. */
  async report(): Promise<void> {
    const figures: Figures = {
      wallSeconds: (performance.now() - this.#startMs) / 1000,
      cpuSeconds: cpuSeconds(),
      loadingSeconds: this.#loadingSeconds,
      peakMiB: await peakMiB(),
    }
    process.stdout.write(`${JSON.stringify(figures)}\n`)
  }
}

export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** Not getrusage's, which starts with that of the parent. */
async function peakMiB(): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
}
