import { appendFile, copyFile, mkdir, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { LogRing } from '../../../agent/logs/log-ring.ts'
import { group, LogAppliance, useFakeClock } from './log-appliance.ts'

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

const flushMs = 20_000
const iso = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/

describe('sending', () => {
  test('sends the lines that are there and those that come, in order', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\ntwo\n')
    appliance.start()
    await appliance.pass()
    expect(appliance.sent('app')).toEqual([])
    await appliance.pass(flushMs)
    await appendFile(appliance.path('app.log'), 'three\n\nfour')
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'two', 'three', 'four'])
  })

  test('makes the stream and its group only once a batch finds them missing', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    const { calls } = appliance.destination
    const made = ['put app', 'createStream app', `createGroup ${group}`, 'createStream app', 'put app']
    expect(calls.filter((call) => !call.includes('occ_log'))).toEqual(made)
    appliance.destination.deleteGroup(group)
    await appendFile(appliance.path('app.log'), 'two\n')
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['two'])
  })

  test('stamps lines with the time they were read at, by the clock that is known when they are sent', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    const readAtMs = Date.now()
    appliance.offsetMs = 3_600_000
    await appliance.pass(flushMs)
    const [event] = appliance.destination.events({ group, stream: 'app' })
    expect(Math.abs((event?.timestampMs ?? 0) - readAtMs - 3_600_000)).toBeLessThanOrEqual(1)
  })

  test('sends a full batch at once and a big backlog whole and in order', async () => {
    await using appliance = await LogAppliance.open()
    const lines = Array.from({ length: 40_000 }, (_, at) => `line ${at} ${'x'.repeat(100)}`)
    await writeFile(appliance.path('app.log'), `${lines.join('\n')}\n`)
    appliance.start()
    // One for the missing stream and five full ones, without any time passing.
    while (appliance.puts('app') < 6) await turn()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(lines)
  })

  test('waits with a line that has no break yet, but not for ever', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'half')
    appliance.start()
    await appliance.pass()
    await appendFile(appliance.path('app.log'), ' a line\nrest')
    await appliance.pass()
    await appliance.pass(flushMs)
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['half a line', 'rest'])
  })

  test('goes on after a failure without losing a line', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.destination.failures.set('app', new AgentError('throttled', { retryable: true }))
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.logs.worker.health().state).toBe('failing')
    expect(appliance.logs.status().sources[0]?.positionBytes).toBe(0)
    appliance.destination.failures.clear()
    await appliance.pass(70_000)
    expect(appliance.sent('app')).toEqual(['one'])
    await appliance.look()
    expect(appliance.logs.worker.health().state).toBe('ok')
    expect(appliance.logs.status().sources[0]?.positionBytes).toBe(4)
  })

  test('lets no stream that is denied, or hangs, hold another one up', async () => {
    await using appliance = await LogAppliance.open()
    appliance.destination.failures.set('denied', new AgentError('access denied'))
    appliance.destination.hanging.add('hangs')
    for (const name of ['denied', 'hangs', 'fine']) {
      await writeFile(appliance.path(`${name}.log`), `${'x'.repeat(1_000)}\n`.repeat(3_000))
    }
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    await appliance.pass(flushMs)
    await appliance.pass(flushMs)
    expect(appliance.sent('fine')).toHaveLength(3_000)
    expect(appliance.puts('denied')).toBeLessThanOrEqual(2)
    const denied = appliance.logs.status().sources.find(({ stream }) => stream === 'denied')
    expect(denied?.lastError?.message).toBe('access denied')
  })

  test('counts and reports events that are refused, once for many', async () => {
    await using appliance = await LogAppliance.open()
    appliance.start()
    appliance.offsetMs = 4 * 3_600_000
    for (const text of ['one\n', 'two\n', 'three\n']) {
      await appendFile(appliance.path('app.log'), text)
      await appliance.pass(flushMs)
      await appliance.pass(flushMs)
    }
    expect(appliance.logs.status().lost).toBeGreaterThanOrEqual(3)
    expect(appliance.lines.filter(({ text }) => text.includes('log events were lost'))).toHaveLength(1)
    expect(appliance.logs.status().sources[0]?.positionBytes).toBe(14)
  })
})

describe('rotation', () => {
  test('reads a renamed file to its end before the new one', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appendFile(appliance.path('app.log'), 'two\n')
    await rename(appliance.path('app.log'), appliance.path('app.log.1'))
    await writeFile(appliance.path('app.log'), 'three\n')
    await appliance.pass()
    await appendFile(appliance.path('app.log.1'), 'late\n')
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'two', 'three', 'late'])
  })

  test('finds the file that came and went between two looks', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appendFile(appliance.path('app.log'), 'two\n')
    await rename(appliance.path('app.log'), appliance.path('app.log.2'))
    await writeFile(appliance.path('app.log.1'), 'three\n')
    await writeFile(appliance.path('app.log'), 'four\n')
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'two', 'three', 'four'])
  })

  test('reads what was unread from the copy when a file is copied and truncated', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\ntw')
    appliance.start()
    await appliance.pass()
    await appendFile(appliance.path('app.log'), 'o\n')
    await copyFile(appliance.path('app.log'), appliance.path('app.log.1'))
    await truncate(appliance.path('app.log'))
    await appendFile(appliance.path('app.log'), '3\n')
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'two', '3'])
    expect(appliance.logs.status().lostBytes).toBe(0)
  })

  test('notices a truncated file that has grown past the old position', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await writeFile(appliance.path('app.log'), 'a longer second start\n')
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(linesOf(appliance.sent('app'))).toEqual(['one', 'a longer second start'])
    expect(appliance.gaps('app')).toMatchObject([{ reason: 'rotated', source: appliance.path('app.log') }])
  })

  test('records how much was truncated before it could be read', async () => {
    await using appliance = await LogAppliance.open()
    appliance.destination.failures.set('app', new AgentError('no network', { retryable: true }))
    await writeFile(appliance.path('app.log'), `${'x'.repeat(999)}\n`.repeat(3_000))
    appliance.start()
    await appliance.pass()
    await truncate(appliance.path('app.log'))
    await appendFile(appliance.path('app.log'), 'after\n')
    await appliance.pass()
    appliance.destination.failures.clear()
    for (let at = 0; at < 4; at += 1) await appliance.pass(70_000)
    const sent = appliance.sent('app')
    const { lostBytes } = appliance.logs.status()
    expect(lostBytes).toBeGreaterThan(800_000)
    const [record, ...others] = appliance.gaps('app')
    expect(others).toEqual([])
    expect(record).toMatchObject({ reason: 'rotated', source: appliance.path('app.log'), bytes: lostBytes })
    expect(record?.['to']).toMatch(iso)
    expect(record?.['from'], 'nothing was ever read to its end').toBeUndefined()
    const lines = sent.filter((message) => !message.startsWith('{'))
    expect(lines.at(-1)).toBe('after')
    const readBytes = lines.slice(0, -1).reduce((sum, message) => sum + message.length + 1, 0)
    // The partial line that was read last loses its break only.
    expect(Math.abs(readBytes + lostBytes - 3_000_000)).toBeLessThanOrEqual(1)
  })

  test('reads a deleted file to its end', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appendFile(appliance.path('app.log'), 'two\nthree')
    await rm(appliance.path('app.log'))
    await appliance.pass()
    await appliance.pass(40_000)
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'two', 'three'])
    await appliance.pass(flushMs)
    expect(appliance.logs.status().sources).toEqual([])
  })

  test('sends a rotated file that the pattern finds again only once', async () => {
    await using appliance = await LogAppliance.open()
    appliance.pattern = '*.log*'
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await rename(appliance.path('app.log'), appliance.path('app.log.1'))
    await writeFile(appliance.path('app.log'), 'two\n')
    for (let at = 0; at < 8; at += 1) await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'two'])
    expect(appliance.sent('app.log')).toEqual([])
    await appliance.stop()
    appliance.start()
    for (let at = 0; at < 4; at += 1) await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'two'])
    expect(appliance.sent('app.log')).toEqual([])
  })

  test('follows files that appear later, and none that is no regular file', async () => {
    await using appliance = await LogAppliance.open()
    appliance.start()
    await appliance.pass()
    await mkdir(appliance.path('folder.log'))
    await symlink('/dev/zero', appliance.path('device.log'))
    await writeFile(appliance.path('new.log'), 'one\n')
    await appliance.pass(11_000)
    await appliance.pass(flushMs)
    expect(appliance.sent('new')).toEqual(['one'])
    expect(appliance.logs.status().sources.map(({ stream }) => stream)).toEqual(['new'])
  })
})

describe('restart', () => {
  test('goes on at the cursor after a stop, which sent what was read', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\nhalf')
    appliance.start()
    await appliance.pass()
    await appliance.stop()
    expect(appliance.sent('app')).toEqual(['one'])
    expect((await stat(dirname(appliance.path('../state/logs/cursors.json')))).mode & 0o777).toBe(0o700)
    expect((await stat(appliance.path('../state/logs/cursors.json'))).mode & 0o777).toBe(0o600)
    await appendFile(appliance.path('app.log'), ' a line\n')
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'half a line'])
  })

  test('loses nothing in a crash before a batch is accepted', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    await appliance.pass(flushMs)
    await appendFile(appliance.path('app.log'), 'two\n')
    appliance.destination.failures.set('app', new AgentError('no network', { retryable: true }))
    await appliance.pass()
    await appliance.pass(flushMs)
    await appliance.crash()
    appliance.destination.failures.clear()
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'two'])
  })

  test('reads the rest of a file that was renamed meanwhile before the new one', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appliance.stop()
    await appendFile(appliance.path('app.log'), 'two\n')
    await rename(appliance.path('app.log'), appliance.path('strange-name'))
    await writeFile(appliance.path('app.log'), 'three\n')
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'two', 'three'])
  })

  test('starts a new file on an old inode at its first byte', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appliance.stop()
    await writeFile(appliance.path('app.log'), 'other content\n')
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(linesOf(appliance.sent('app'))).toEqual(['one', 'other content'])
    expect(appliance.gaps('app')).toMatchObject([{ reason: 'rotated', source: appliance.path('app.log') }])
  })

  test('starts a file that was truncated meanwhile at its first byte', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), `${'x'.repeat(1_999)}\n${'y'.repeat(999)}\n`)
    appliance.start()
    await appliance.pass()
    await appliance.stop()
    await truncate(appliance.path('app.log'), 2_000)
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(linesOf(appliance.sent('app')).map(({ length }) => length)).toEqual([1_999, 999, 1_999])
    expect(appliance.gaps('app')).toMatchObject([{ reason: 'rotated', source: appliance.path('app.log') }])
  })

  test('records what went away while the agent was not running', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\nhalf')
    appliance.start()
    await appliance.pass()
    await appliance.stop()
    await rm(appliance.path('app.log'))
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    const path = appliance.path('app.log')
    const message = `4 bytes of ${path}, removed before they could be sent`
    const record = { panoramaAgent: 'gap', reason: 'rotated', source: path, bytes: 4, message }
    expect(appliance.gaps('app')).toEqual([record])
    expect(appliance.sent('app')).toHaveLength(2)
  })

  test('starts without its cursors when they cannot be read', async () => {
    await using appliance = await LogAppliance.open()
    await mkdir(appliance.path('../state/logs'), { recursive: true })
    await writeFile(appliance.path('../state/logs/cursors.json'), '{"version":1,"cursors":[{}]}')
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one'])
  })

  test('ends in time when the last flush hangs, and keeps the cursor', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    appliance.destination.hanging.add('app')
    const stopped = appliance.stop()
    let isStopped = false
    void stopped.then(() => (isStopped = true))
    while (!appliance.destination.calls.includes('put app')) await turn()
    await turn()
    expect(isStopped).toBe(false)
    vi.advanceTimersByTime(3_000)
    await stopped
    appliance.destination.hanging.clear()
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one'])
  })

  test('stops in the middle of a pass', async () => {
    await using appliance = await LogAppliance.open()
    for (let at = 0; at < 20; at += 1) await writeFile(appliance.path(`${at}.log`), 'one\n')
    appliance.start()
    await turn()
    await appliance.stop()
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    for (let at = 0; at < 20; at += 1) expect(appliance.sent(String(at))).toEqual(['one'])
  })

  test('sends at a stop what was written since the last look', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('a.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appendFile(appliance.path('a.log'), 'two\n')
    await appliance.stop()
    expect(appliance.sent('a')).toEqual(['one', 'two'])
  })

  test('tries a stream again at once when it is told that what held it up may be over', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('a.log'), 'one\n')
    appliance.destination.failures.set('a', new AgentError('denied'))
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    appliance.destination.failures.clear()
    await appliance.pass(2_000)
    expect(appliance.sent('a')).toEqual([])
    appliance.logs.retryNow()
    await appliance.pass(1_000)
    expect(appliance.sent('a')).toEqual(['one'])
  })
})

describe("the agent's own log", () => {
  test('lets lines below warn wait a minute and sends nothing after that', async () => {
    await using appliance = await LogAppliance.open()
    appliance.start()
    appliance.ring.sink({ level: 'info', text: 'quiet' })
    await appliance.pass(50_000)
    expect(appliance.destination.calls).toEqual([])
    await appliance.pass(10_000)
    expect(appliance.sent('occ_log')).toEqual(['quiet'])
    const { length } = appliance.destination.calls
    for (let at = 0; at < 20; at += 1) await appliance.pass(60_000)
    expect(appliance.destination.calls).toHaveLength(length)
  })

  test('sends a warning soon, and what waits along with it', async () => {
    await using appliance = await LogAppliance.open()
    appliance.start()
    appliance.ring.sink({ level: 'info', text: 'quiet' })
    appliance.ring.sink({ level: 'warn', text: 'loud' })
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('occ_log')).toEqual(['quiet', 'loud'])
  })

  test('counts lines that did not fit and says so in the stream', async () => {
    await using appliance = await LogAppliance.open()
    appliance.ring = new LogRing({ maxLines: 2 })
    for (const text of ['one', 'two', 'three', 'four']) appliance.ring.sink({ level: 'warn', text })
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.gaps('occ_log')).toMatchObject([{ reason: 'dropped', lines: 2 }])
    expect(appliance.sent('occ_log').filter((message) => message.length < 6)).toEqual(['three', 'four'])
    expect(appliance.logs.status().lost).toBe(2)
  })

  test('settles down although its own failures are in it', async () => {
    await using appliance = await LogAppliance.open()
    appliance.destination.failures.set('occ_log', new AgentError('access denied'))
    appliance.start()
    appliance.ring.sink({ level: 'warn', text: 'loud' })
    for (let at = 0; at < 30; at += 1) await appliance.pass(60_000)
    expect(appliance.puts('occ_log')).toBeLessThanOrEqual(31)
    expect(appliance.lines.length).toBeLessThan(10)
  })
})

/** Without gap records. */
function linesOf(sent: readonly string[]): readonly string[] {
  return sent.filter((message) => !message.startsWith('{"panoramaAgent"'))
}

async function turn(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  setImmediate(() => {
    resolve(undefined)
  })
  await promise
}
