import { rmSync, writeFileSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

import type { Log } from '../lib/log.ts'

export interface LastRunOptions {
  /** `$RUNTIME_DIRECTORY`, where the unit's ExecStopPost= leaves `last-exit`; undefined without systemd. */
  readonly runtimeDirectory?: string
  /** Where a run leaves its note of overdue workers. */
  readonly runtimeFolder: string
  readonly log: Log
}

const noteName = 'overdue.json'
const exitName = 'last-exit'

/**
 * Leaves a note of workers that are stuck for the next run. Written synchronously, because what hangs may be the threads that
 * every other file access waits for.
 */
export function noteOverdue(runtimeFolder: string, workers: readonly string[]): void {
  writeFileSync(join(runtimeFolder, noteName), `${JSON.stringify({ workers })}\n`, { mode: 0o600 })
}

export function forgetOverdue(runtimeFolder: string): void {
  rmSync(join(runtimeFolder, noteName), { force: true })
}

/**
 * Says how the run before ended, if it did not end as asked: systemd's `$SERVICE_RESULT`, `$EXIT_CODE` and
 * `$EXIT_STATUS` (systemd.exec(5)), and which of event loop and workers the watchdog found stuck. Says it once.
 */
export async function reportLastRun({ runtimeDirectory, runtimeFolder, log }: LastRunOptions): Promise<void> {
  const note = await takeFile(join(runtimeFolder, noteName))
  const exit = runtimeDirectory === undefined ? undefined : await takeFile(join(runtimeDirectory, exitName))
  const [result = 'unknown', code, status] = exit?.trim().split(' ') ?? []
  const workers = note === undefined ? undefined : workersIn(note)
  if (result === 'watchdog' || workers !== undefined) {
    const message = `the run before was stuck${result === 'watchdog' ? ' and ended by the watchdog' : ''}`
    const stuck = workers === undefined ? 'event loop' : `worker ${workers.join(', ')}`
    log.error(message, { stuck, result, code, status })
  } else if (exit !== undefined && result !== 'success') {
    const hint = hints.get(result)
    log.error('the run before ended unexpectedly', { result, code, status, ...(hint === undefined ? {} : { hint }) })
  }
}

const hints = new Map([
  ['oom-kill', 'the memory of the service or of the appliance ran out: see MemoryMax= of the unit'],
  ['start-limit-hit', 'systemd gave up restarting it'],
  ['timeout', 'it did not start or stop in time'],
])

/** Reads a small file and removes it; undefined when there is none, or none that can be read. */
async function takeFile(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  await rm(path, { force: true }).catch(() => undefined)
  return text
}

function workersIn(note: string): readonly string[] {
  try {
    const json: unknown = JSON.parse(note)
    const workers: unknown = typeof json === 'object' && json !== null && 'workers' in json ? json.workers : undefined
    return Array.isArray(workers) ? workers.map(String) : ['unknown']
  } catch {
    return ['unknown']
  }
}
