import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { cpuSeconds, Stopwatch } from './figures.ts'
import { openLogPath } from './log-path.ts'

/**
 * Sends what the log files hold with the agent's log path, to the end, and saves the cursors; then measures how it rests,
 * if asked to. Prints figures as a line of JSON; at rest one more line before and after.
 */
const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '' },
    certificate: { type: 'string', default: '' },
    pattern: { type: 'string', default: '' },
    state: { type: 'string', default: '' },
    copy: { type: 'string', default: '' },
    compression: { type: 'string', default: 'gzip' },
    rest: { type: 'string', default: '0' },
  },
})
/** Of the rest of a file, less than a batch: the flush of a stop sends it. */
const lastBatchBytes = 1_000_000
const lookEveryMs = 20

const stopwatch = new Stopwatch()
const logs = openLogPath({
  pattern: values.pattern,
  stateFolder: values.state,
  cursorCopy: values.copy,
  compression: values.compression === 'none' ? 'none' : 'gzip',
  port: Number(values.port),
  certificate: await readFile(values.certificate, 'utf8'),
})
const stop = new AbortController()
const ended = logs.worker.supervise(stop.signal)
const restSeconds = Number(values.rest)
if (restSeconds > 0) await rest()
else while (!isNearTheEnd()) await delay(lookEveryMs)
stop.abort()
await ended
await logs.flushOnStop(new AbortController().signal)
await logs[Symbol.asyncDispose]()
await stopwatch.report()
process.exit(0)

function isNearTheEnd(): boolean {
  const { sources, pendingBytes } = logs.status()
  return sources.length > 0 && pendingBytes < lastBatchBytes
}

/** Waits until all is sent and quiet; then says when the rest begins, and how much of a core it took. */
async function rest(): Promise<void> {
  const isQuiet = (): boolean => logs.status().sources.length > 0 && logs.status().pendingBytes === 0
  while (!isQuiet()) await delay(1_000)
  await delay(10_000)
  process.stdout.write('{"resting":true}\n')
  const [startMs, startSeconds] = [performance.now(), cpuSeconds()]
  await delay(restSeconds * 1_000)
  const share = (cpuSeconds() - startSeconds) / ((performance.now() - startMs) / 1_000)
  process.stdout.write(`${JSON.stringify({ share })}\n`)
}
