import { join } from 'node:path'

import * as z from 'zod'

import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { Worker } from '../lib/worker.ts'
import type { ServerClock } from './server-clock.ts'

const stateSchema = z.object({ version: z.literal(1), lastKnownAt: z.iso.datetime() })

const saveEveryMs = 3_600_000
const waitForServerMs = 60_000

export interface ClockStateOptions {
  /** The state folder; the file in it is `clock.json`. */
  readonly folder: string
  readonly log: Log
}

/** The last cloud time known before this start, in milliseconds since 1970; undefined on a first start. */
export async function readLastKnown({ folder, log }: ClockStateOptions): Promise<number | undefined> {
  const state = await readJsonState({ path: pathIn(folder), log, parse: (json) => stateSchema.parse(json) })
  return state === undefined ? undefined : Date.parse(state.lastKnownAt)
}

/** Keeps the last time known on disk, hourly: a clock can be wrong at the next boot, but time does not go back. */
export function clockWorker({ folder, log, clock }: ClockStateOptions & { readonly clock: ServerClock }): Worker {
  return new Worker({
    name: 'clock',
    log: log.child({ worker: 'clock' }),
    runPass: async () => {
      const lastKnownMs = clock.lastKnownMs()
      if (lastKnownMs === undefined) return { nextInMs: waitForServerMs }
      await writeJsonState(pathIn(folder), { version: 1, lastKnownAt: new Date(lastKnownMs).toISOString() })
      return { nextInMs: saveEveryMs }
    },
  })
}

function pathIn(folder: string): string {
  return join(folder, 'clock.json')
}
