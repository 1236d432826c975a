import { join } from 'node:path'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { openSdNotify } from '../../../agent/lib/sd-notify.ts'
import { Service } from '../../../agent/composition/service.ts'
import { reportLastRun } from '../../../agent/status/last-run.ts'
import { listenForNotify, type NotifySocket } from '../../support/notify-socket.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { statusDocument } from '../../support/status-document.ts'
import { tempFolder, type TempFolder } from '../../support/temp-folder.ts'

const watchdogMs = 8_000

interface Bench extends AsyncDisposable {
  readonly service: Service
  readonly socket: NotifySocket
  readonly log: RecordingLog
  readonly folder: TempFolder
  /** Milliseconds by which each worker is overdue. */
  readonly overdueMs: Map<string, number>
  readonly ready: () => void
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

async function bench(): Promise<Bench> {
  await using resources = new AsyncDisposableStack()
  const folder = resources.use(await tempFolder())
  const notifySocket = join(folder.path, 'notify')
  const socket = resources.use(listenForNotify(notifySocket))
  const log = new RecordingLog()
  const service = resources.use(new Service({ notifySocket, watchdogMs }, log))
  const overdueMs = new Map([
    ['cameras', -1],
    ['logs', -1],
  ])
  const owned = resources.move()
  return {
    service,
    socket,
    log,
    folder,
    overdueMs,
    ready: () => {
      service.ready({
        workers: () => [...overdueMs].map(([name, ms]) => ({ name, overdueMs: () => ms })),
        status: () => statusDocument({ overdue: [...overdueMs].filter(([, ms]) => ms > 0).map(([name]) => name) }),
        runtimeFolder: folder.path,
      })
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const allWell = 'STATUS=All well: 0 artifacts, 0 cameras, 0 log files'

test('sends nothing before it is ready, then READY, the watchdog and one line of status', async () => {
  await using it = await bench()
  vi.advanceTimersByTime(watchdogMs)
  expect(it.socket.take()).toEqual([])
  it.ready()
  expect(it.socket.take()).toEqual([['READY=1'], ['WATCHDOG=1'], [allWell]])
})

test('kicks the watchdog four times in its period, and repeats no status that is no news', async () => {
  await using it = await bench()
  it.ready()
  it.socket.take()
  vi.advanceTimersByTime(watchdogMs)
  expect(it.socket.take()).toEqual([['WATCHDOG=1'], ['WATCHDOG=1'], ['WATCHDOG=1'], ['WATCHDOG=1']])
})

test('stops kicking while a worker is overdue, says which, and leaves a note for the next run', async () => {
  await using it = await bench()
  it.ready()
  it.socket.take()
  it.overdueMs.set('cameras', 1)
  vi.advanceTimersByTime(3 * watchdogMs)
  expect(it.socket.take()).toEqual([['STATUS=Stuck: cameras']])
  expect(it.log.entries).toMatchObject([{ level: 'error', fields: { overdue: ['cameras'] } }])
  const nextLog = new RecordingLog()
  await reportLastRun({ runtimeFolder: it.folder.path, log: nextLog })
  expect(nextLog.entries).toMatchObject([{ fields: { stuck: 'worker cameras' } }])
})

test('blames no worker for a time in which nothing ran at all, but does so when it is overdue a tick later', async () => {
  await using it = await bench()
  it.ready()
  vi.advanceTimersByTime(watchdogMs)
  it.socket.take()
  const now = performance.now.bind(performance)
  vi.spyOn(performance, 'now').mockImplementation(() => now() + 40_000)
  it.overdueMs.set('cameras', 10_000)
  vi.advanceTimersByTime(watchdogMs / 4)
  expect(it.socket.take()).toContainEqual(['WATCHDOG=1'])
  expect(it.log.entries).toEqual([])
  vi.advanceTimersByTime(watchdogMs / 4)
  expect(it.log.entries).toMatchObject([{ level: 'error', fields: { overdue: ['cameras'] } }])
})

test('goes on kicking when the worker goes on, and takes the note back', async () => {
  await using it = await bench()
  it.ready()
  it.overdueMs.set('cameras', 1)
  vi.advanceTimersByTime(watchdogMs / 4)
  it.socket.take()
  it.overdueMs.set('cameras', -1)
  vi.advanceTimersByTime(watchdogMs / 4)
  expect(it.socket.take()).toEqual([['WATCHDOG=1'], [allWell]])
  expect(it.log.messages('info')).toEqual(['no worker is overdue any more'])
  const nextLog = new RecordingLog()
  await reportLastRun({ runtimeFolder: it.folder.path, log: nextLog })
  expect(nextLog.entries).toEqual([])
})

test('says READY again when the service manager had no room for it', async () => {
  await using it = await bench()
  using others = openSdNotify(join(it.folder.path, 'notify'))
  while (others.send('X=1'));
  it.ready()
  it.socket.take()
  vi.advanceTimersByTime(watchdogMs / 4)
  expect(it.socket.take()).toEqual([['READY=1'], ['WATCHDOG=1'], [allWell]])
  vi.advanceTimersByTime(watchdogMs / 4)
  expect(it.socket.take()).toEqual([['WATCHDOG=1']])
})

test('frames a reload with RELOADING, with the time on the monotonic clock, and READY', async () => {
  await using it = await bench()
  it.ready()
  it.socket.take()
  const before = process.hrtime.bigint() / 1_000n
  it.service.reloading()
  it.service.kept()
  const [[reloading, atUsec = ''] = [], ready] = it.socket.take()
  expect([reloading, ready]).toEqual(['RELOADING=1', ['READY=1']])
  const at = BigInt(atUsec.replace('MONOTONIC_USEC=', ''))
  expect(at >= before && at <= process.hrtime.bigint() / 1_000n).toBe(true)
})

test('stops kicking when a reload does not end, and leaves a note of it', async () => {
  await using it = await bench()
  it.ready()
  it.service.reloading()
  vi.advanceTimersByTime(120_000)
  it.socket.take()
  vi.advanceTimersByTime(watchdogMs)
  expect(it.socket.take()).toEqual([])
  const nextLog = new RecordingLog()
  await reportLastRun({ runtimeFolder: it.folder.path, log: nextLog })
  expect(nextLog.entries).toMatchObject([{ fields: { stuck: 'worker reload' } }])
  it.service.kept()
  vi.advanceTimersByTime(watchdogMs / 4)
  expect(it.socket.take()).toEqual([['READY=1'], ['WATCHDOG=1']])
})

test('does not count the time between reloads', async () => {
  await using it = await bench()
  it.ready()
  for (let round = 0; round < 3; round += 1) {
    it.service.reloading()
    vi.advanceTimersByTime(100_000)
    it.ready()
  }
  expect(it.log.entries).toEqual([])
})

test('says that it is stopping, and nothing after that', async () => {
  await using it = await bench()
  it.ready()
  it.socket.take()
  it.service.stopping()
  it.service.reloading()
  it.service.kept()
  it.ready()
  vi.advanceTimersByTime(watchdogMs)
  expect(it.socket.take()).toEqual([['STOPPING=1', 'STATUS=Stopping']])
})

test('reports an address that it cannot use, and goes on without', () => {
  const log = new RecordingLog()
  using service = new Service({ notifySocket: 'vsock:2:1', watchdogMs }, log)
  service.reloading()
  expect(log.messages('error')).toEqual(['the service manager cannot be told anything'])
})
