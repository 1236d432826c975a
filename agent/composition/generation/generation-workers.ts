import { isDeepStrictEqual } from 'node:util'

import type { Config } from '../../config/config-schema.ts'
import type { Generation, KeptParts } from './generation.ts'
import { linkedAbort } from '../../lib/abort.ts'
import { superviseAll, type Worker } from '../../lib/worker.ts'

type PartName = keyof KeptParts | 'others'

interface RunningPart {
  readonly workers: readonly Worker[]
  readonly ended: Promise<void>
  readonly end: ReturnType<typeof linkedAbort>
}

/** What of a generation may go on with the next configuration: passes, connections and waits go on, nothing is asked for anew. */
export function keptParts(generation: Generation, from: Config, to: Config): Partial<KeptParts> {
  const { artifacts, cameras, cameraHooks, serveLastCredentials: serveLast } = generation
  const isKept = (name: keyof KeptParts): boolean => isDeepStrictEqual(madeFrom[name](from), madeFrom[name](to))
  return {
    ...(isKept('artifacts') ? { artifacts } : {}),
    ...(isKept('cameras') ? { cameras: { cameras, cameraHooks, serveLast } } : {}),
  }
}

/** All of the configuration that a part is made from, beside what its session is. */
const madeFrom: Readonly<Record<keyof KeptParts, (config: Config) => unknown>> = {
  artifacts: ({ artifacts, downloads }) => ({ artifacts, downloads }),
  cameras: ({ cameras }) => cameras,
}

/** Runs the workers of one generation after the other; those of a part that is kept go on in between. */
export class GenerationWorkers {
  readonly #signal: AbortSignal
  readonly #running = new Map<PartName, RunningPart>()

  /** When `signal` aborts, all begin to end. */
  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** Starts those of a generation that do not run. */
  start(generation: Generation): void {
    for (const [name, workers] of partsOf(generation)) {
      if (this.#running.has(name)) continue
      const end = linkedAbort(this.#signal)
      this.#running.set(name, { workers, end, ended: superviseAll(workers, end.controller.signal) })
    }
  }

  /** Ends all but those of the parts that are kept; resolves once they have ended. */
  async end(kept: Partial<KeptParts>): Promise<void> {
    const ending = [...this.#running].filter(([name]) => !Object.hasOwn(kept, name))
    for (const [, { end }] of ending) end.controller.abort()
    for (const [name, { end, ended }] of ending) {
      await ended
      end[Symbol.dispose]()
      this.#running.delete(name)
    }
  }

  /** Names of workers that were told to end and have not. */
  unended(): readonly string[] {
    const ending = [...this.#running.values()].filter(({ end }) => end.controller.signal.aborted)
    return ending.flatMap(({ workers }) => workers.filter(({ hasStopped }) => !hasStopped).map(({ name }) => name))
  }
}

function partsOf({ artifacts, cameras, cameraHooks, workers }: Generation): ReadonlyMap<PartName, readonly Worker[]> {
  const ofCameras = new Set([cameras.worker, cameraHooks.worker])
  const parts = new Map<PartName, readonly Worker[]>([
    ['artifacts', artifacts.map(({ worker }) => worker)],
    ['cameras', workers.filter((worker) => ofCameras.has(worker))],
  ])
  const named = new Set([...parts.values()].flat())
  return parts.set(
    'others',
    workers.filter((worker) => !named.has(worker)),
  )
}
