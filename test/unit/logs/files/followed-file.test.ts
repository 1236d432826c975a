import { appendFile, copyFile, rename, truncate, writeFile } from 'node:fs/promises'

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { fileTime, FollowedLogs } from '../followed-logs.ts'
import { useFakeClock } from '../log-appliance.ts'

const dayMs = 86_400_000
const multiLine = { firstLine: '^\\S', maxLines: 500, waitSeconds: 2 }

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

describe('an event of several lines', () => {
  test('waits for more, and the cursor before it', async () => {
    await using logs = await FollowedLogs.open()
    logs.format = { ...logs.format, multiLine }
    await writeFile(logs.path('app.log'), 'one\n  a\ntwo\n  a\n')
    await logs.look()
    logs.accept()
    expect(logs.messages('app')).toEqual(['one\n  a'])
    expect(logs.cursors).toMatchObject([{ positionBytes: 8, sizeBytes: 16 }])
    await logs.restart()
    await appendFile(logs.path('app.log'), '  b\nthree\n')
    await logs.look()
    expect(logs.messages('app')).toEqual(['two\n  a\n  b'])
  })

  test('is ended when it has not grown for its time, and not while it grows', async () => {
    await using logs = await FollowedLogs.open()
    logs.format = { ...logs.format, multiLine }
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    for (let at = 0; at < 5; at += 1) {
      await appendFile(logs.path('app.log'), `  ${at}\n`)
      await logs.look(1_000)
      expect(logs.messages('app')).toEqual([])
    }
    await logs.pass(2_000)
    expect(logs.messages('app')).toEqual(['one\n  0\n  1\n  2\n  3\n  4'])
    logs.accept()
    expect(logs.cursors).toMatchObject([{ positionBytes: 24 }])
  })

  test('is not ended while more of it is there that there was no room for', async () => {
    await using logs = await FollowedLogs.open()
    logs.format = { ...logs.format, multiLine }
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    logs.isHeldBack = true
    await appendFile(logs.path('app.log'), '  a\n')
    await logs.pass(10_000)
    logs.isHeldBack = false
    await logs.pass(3_000)
    expect(logs.messages('app')).toEqual(['one\n  a'])
  })

  test('goes on in the file while that is renamed, and is ended with the file', async () => {
    await using logs = await FollowedLogs.open()
    logs.format = { ...logs.format, multiLine: { ...multiLine, waitSeconds: 60 } }
    await writeFile(logs.path('app.log'), 'one\n')
    await logs.look()
    await rename(logs.path('app.log'), logs.path('app.log.1'))
    await appendFile(logs.path('app.log.1'), '  late\n  half')
    await writeFile(logs.path('app.log'), 'two\n')
    await logs.look()
    expect(logs.messages('app')).toEqual([])
    await logs.pass(61_000)
    expect(logs.messages('app').toSorted()).toEqual(['one\n  late\n  half', 'two'])
  })
})

test('a partial line holds the cursor back, also across a restart', async () => {
  await using logs = await FollowedLogs.open()
  await writeFile(logs.path('app.log'), 'one\nhalf')
  await logs.look()
  logs.accept()
  expect(logs.cursors).toMatchObject([{ positionBytes: 4 }])
  await logs.restart()
  await appendFile(logs.path('app.log'), ' a line\n')
  await logs.look()
  expect(logs.messages('app')).toEqual(['half a line'])
})

test('what follows a line that was ended without its break is marked, also after a restart', async () => {
  await using logs = await FollowedLogs.open()
  await writeFile(logs.path('app.log'), 'half')
  await logs.pass(12_000)
  expect(logs.messages('app')).toEqual(['half'])
  logs.accept()
  await logs.restart()
  await appendFile(logs.path('app.log'), ' a line\nnext\n')
  await logs.look()
  expect(logs.messages('app')).toEqual(['[continued]\u2026 a line', 'next'])
})

test('the cursor follows what is accepted, event by event', async () => {
  await using logs = await FollowedLogs.open()
  await writeFile(logs.path('app.log'), 'one\n\ntwo\n\n')
  await logs.look()
  expect(logs.cursors).toMatchObject([{ positionBytes: 0 }])
  logs.accept(1)
  expect(logs.cursors).toMatchObject([{ positionBytes: 4 }])
  logs.accept(1)
  expect(logs.cursors).toMatchObject([{ positionBytes: 10 }])
})

describe('the offset of the clock', () => {
  const line = '2023-02-14 11:53:09 text\n'

  test('comes with what was written since the file was opened, not with what was there', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), line)
    // as if this process had started after that
    vi.spyOn(performance, 'timeOrigin', 'get').mockReturnValue(Date.now() + 60_000)
    await logs.look()
    await appendFile(logs.path('app.log'), line)
    await logs.look(1_000)
    expect(logs.events.map(({ wallOffsetMs }) => wallOffsetMs)).toEqual([undefined, expect.any(Number)])
    expect(logs.events[1]?.wallOffsetMs).toBeCloseTo(Date.now() - performance.now(), -1)
    expect(logs.events[1]?.statedMs).toBe(Date.UTC(2023, 1, 14, 11, 53, 9))
  })

  test('comes with all of a file that was made since this process started', async () => {
    await using logs = await FollowedLogs.open()
    fileTime()
    await writeFile(logs.path('app.log'), line)
    await logs.look()
    expect(logs.events).toMatchObject([{ wallOffsetMs: expect.any(Number) as number }])
  })

  test('is the one that a line was written under, however late it is read', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), '')
    await logs.look()
    logs.isHeldBack = true
    const wrong = await logs.writeStamped('app.log', 3)
    await logs.pass(3_600_000)
    vi.setSystemTime(Date.now() + 60 * dayMs)
    await logs.pass(2_000)
    const right = await logs.writeStamped('app.log', 2)
    await logs.pass(2_000)
    logs.isHeldBack = false
    await logs.look()
    expectOffsets(logs, [wrong, wrong, wrong, right, right])
  })

  test.each([5 * dayMs, -5 * dayMs])(
    'is told by the stated time between two looks, for a step of %i ms',
    async (stepMs) => {
      await using logs = await FollowedLogs.open()
      await writeFile(logs.path('app.log'), '')
      await logs.look()
      vi.advanceTimersByTime(400)
      const before = await logs.writeStamped('app.log', 2)
      vi.setSystemTime(Date.now() + stepMs)
      vi.advanceTimersByTime(400)
      const after = await logs.writeStamped('app.log', 2)
      await logs.look(200)
      expectOffsets(logs, [before, before, after, after])
    },
  )

  test('tells the year of a time that states none', async () => {
    await using logs = await FollowedLogs.open()
    vi.setSystemTime(Date.UTC(1970, 0, 2))
    await writeFile(logs.path('app.log'), '')
    await logs.look()
    logs.isHeldBack = true
    await appendFile(logs.path('app.log'), 'Jan  2 00:00:00 text\n')
    await logs.pass(3_000)
    vi.setSystemTime(Date.UTC(2027, 2, 1))
    await logs.pass(3_000)
    await appendFile(logs.path('app.log'), 'Jan  2 00:00:00 text\n')
    await logs.pass(3_000)
    logs.isHeldBack = false
    await logs.look()
    expect(logs.events.map(({ statedMs }) => statedMs)).toEqual([Date.UTC(1970, 0, 2), Date.UTC(2027, 0, 2)])
  })

  test('is kept with what was copied away and truncated', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), '')
    await logs.look()
    logs.isHeldBack = true
    const wrong = await logs.writeStamped('app.log', 3)
    await logs.look(1_000)
    vi.setSystemTime(Date.now() + 60 * dayMs)
    await logs.pass(2_000)
    await copyFile(logs.path('app.log'), logs.path('app.log.1'))
    await truncate(logs.path('app.log'))
    await logs.pass(2_000)
    logs.isHeldBack = false
    await logs.look()
    expectOffsets(logs, [wrong, wrong, wrong])
  })
})

describe('a line without a time', () => {
  test('has that of the line before it, and none of its own when it is written later', async () => {
    await using logs = await FollowedLogs.open()
    await writeFile(logs.path('app.log'), '2023-02-14 11:53:09 text\n  at foo\n')
    await logs.look()
    await appendFile(logs.path('app.log'), 'much later\n')
    await logs.look(60_000)
    const statedMs = Date.UTC(2023, 1, 14, 11, 53, 9)
    expect(logs.events.map((event) => event.statedMs)).toEqual([statedMs, statedMs, undefined])
  })

  test('is every line where times are not to be read', async () => {
    await using logs = await FollowedLogs.open()
    logs.format = { ...logs.format, timestamps: 'none' }
    await writeFile(logs.path('app.log'), '2023-02-14 11:53:09 text\n')
    await logs.look()
    expect(logs.events).toMatchObject([{ statedMs: undefined, atMs: performance.now() }])
  })
})

function expectOffsets({ events }: FollowedLogs, expected: readonly number[]): void {
  expect(events.map(({ wallOffsetMs = NaN }) => Math.round(wallOffsetMs / 1_000))).toEqual(
    expected.map((offsetMs) => Math.round(offsetMs / 1_000)),
  )
}
