import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { clockWorker, readLastKnown } from '../../../agent/credentials/clock-state.ts'
import { ServerClock } from '../../../agent/credentials/server-clock.ts'
import { monotonicMs } from '../../../agent/lib/monotonic.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { running } from '../../support/running-worker.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const toldMs = Date.UTC(2040, 0, 1)

function observe(clock: ServerClock): void {
  clock.observe({ date: new Date(toldMs).toUTCString(), sentMs: monotonicMs(), receivedMs: monotonicMs() })
}

test('knows nothing on a first start', async () => {
  await using folder = await tempFolder()
  expect(await readLastKnown({ folder: folder.path, log: new RecordingLog() })).toBeUndefined()
})

test('keeps the last time that a server told for the next start', async () => {
  await using folder = await tempFolder()
  const log = new RecordingLog()
  const clock = new ServerClock({ releasedAtMs: 0, log })
  observe(clock)
  const worker = clockWorker({ folder: folder.path, log, clock })
  await using _ = running(worker)
  await worker.requestPass()
  const knownMs = await readLastKnown({ folder: folder.path, log })
  expect(Math.abs((knownMs ?? 0) - toldMs)).toBeLessThan(60_000)
})

test('writes nothing while no server has told the time', async () => {
  await using folder = await tempFolder()
  const log = new RecordingLog()
  const worker = clockWorker({ folder: folder.path, log, clock: new ServerClock({ releasedAtMs: 0, log }) })
  await using _ = running(worker)
  await worker.requestPass()
  await expect(readFile(join(folder.path, 'clock.json'))).rejects.toMatchObject({ code: 'ENOENT' })
  expect(worker.health().state).toBe('ok')
})

test.each([
  '',
  '{"version":1}',
  '{"version":2,"lastKnownAt":"2040-01-01T00:00:00Z"}',
  '{"version":1,"lastKnownAt":"soon"}',
])('starts without a time when the file holds %j', async (content) => {
  await using folder = await tempFolder()
  await writeFile(join(folder.path, 'clock.json'), content)
  const log = new RecordingLog()
  expect(await readLastKnown({ folder: folder.path, log })).toBeUndefined()
  expect(log.messages('warn')).toEqual(['state file cannot be read and is set aside'])
})
