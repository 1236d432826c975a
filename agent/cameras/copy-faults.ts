import { reportError, type ErrorReport } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'

/** What cannot be opened may still be written, and the other way round. */
export type CopyWork = 'read' | 'write'

/** What is wrong with the copies, by camera; each fault is logged once, and once more when it is over. */
export class CopyFaults {
  readonly #log: Log
  readonly #faults = new Map<string, ErrorReport & { readonly camera: string }>()

  constructor(log: Log) {
    this.#log = log
  }

  /** The oldest one and how many more there are. */
  first(): (ErrorReport & { readonly others: number }) | undefined {
    const [first] = this.#faults.values()
    return first === undefined ? undefined : { ...first, others: this.#faults.size - 1 }
  }

  failed(work: CopyWork, camera: string, error: unknown): void {
    const report = reportError(error)
    const key = keyOf(work, camera)
    if (this.#faults.get(key)?.message !== report.message) {
      this.#log.warn('the sealed copy of a camera is at fault', { camera, error })
    }
    this.#faults.set(key, { ...report, camera })
  }

  wentWell(work: CopyWork, camera: string): void {
    if (!this.#faults.delete(keyOf(work, camera))) return
    this.#log.info('the sealed copy of a camera is well again', { camera })
  }

  /** Forgets the other cameras. */
  keep(cameras: ReadonlySet<string>): void {
    for (const [key, { camera }] of this.#faults) if (!cameras.has(camera)) this.#faults.delete(key)
  }
}

function keyOf(work: CopyWork, camera: string): string {
  return `${work} ${camera}`
}
