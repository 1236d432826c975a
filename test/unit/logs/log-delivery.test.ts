import { appendFile, mkdir, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { parseLogState } from '../../../agent/logs/log-cursors.ts'
import { runCommand } from '../../support/run-command.ts'
import { remountReadOnly, whyNoMount } from '../../support/small-disk.ts'
import { LogRing } from '../../../agent/logs/log-ring.ts'
import { FakeLogSource } from './fake-log-source.ts'
import { group, LogAppliance, useFakeClock } from './log-appliance.ts'

beforeEach(useFakeClock)
afterEach(() => {
  vi.useRealTimers()
})

const flushMs = 20_000
const mib = 1_048_576
const line = (number: number): string => `${number} `.padEnd(1_023, 'x')
const lines = (count: number, from = 0): readonly string[] => Array.from({ length: count }, (_, at) => line(from + at))
const text = (all: readonly string[]): string => all.map((each) => `${each}\n`).join('')
const offline = new AgentError('no network', { retryable: true })

describe('sources', () => {
  test('sends what any source has to the stream that it names, and goes on where it was after a restart', async () => {
    await using appliance = await LogAppliance.open()
    const target = { group: '/other/group', stream: 'unit' }
    let source: FakeLogSource | undefined
    const written = ['one', 'two']
    appliance.moreSources = (context) => {
      source = new FakeLogSource(target, context)
      source.lines.push(...written)
      return [source]
    }
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.destination.messages(target)).toEqual(['one', 'two'])
    await appliance.stop()
    expect(source?.isDisposed).toBe(true)
    expect(await appliance.readCursors()).toMatchObject({ version: 2, journal: { position: 2 } })
    written.push('three')
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.destination.messages(target)).toEqual(['one', 'two', 'three'])
  })

  test('goes on where it was with a source that was left out of the configuration meanwhile', async () => {
    await using appliance = await LogAppliance.open()
    const target = { group: '/other/group', stream: 'unit' }
    const withBoth = appliance.sources
    appliance.moreSources = (context) => {
      const source = new FakeLogSource(target, context)
      source.lines.push('one')
      return [source]
    }
    const withJournal = appliance.moreSources
    await writeFile(appliance.path('app.log'), 'one\n')
    const run = async (): Promise<void> => {
      appliance.start()
      await appliance.pass()
      await appliance.pass(flushMs)
      await appliance.stop()
    }
    await run()
    appliance.otherSources = []
    appliance.moreSources = () => []
    await run()
    await appendFile(appliance.path('app.log'), 'two\n')
    appliance.otherSources = withBoth
    appliance.moreSources = withJournal
    await run()
    expect(appliance.sent('app')).toEqual(['one', 'two'])
    expect(appliance.destination.messages(target)).toEqual(['one'])
  })

  test('goes on with the others when one source fails', async () => {
    await using appliance = await LogAppliance.open()
    appliance.moreSources = (context) => {
      const source = new FakeLogSource({ group, stream: 'unit' }, context)
      source.failure = new AgentError('journalctl is not there', { retryable: true })
      return [source]
    }
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one'])
    expect(appliance.logs.worker.health().lastError?.message).toContain('journalctl is not there')
  })

  test("lets go of the agent's own lines while a healthy source covers them, and sends them while it is not", async () => {
    await using appliance = await LogAppliance.open()
    let source: FakeLogSource | undefined
    appliance.moreSources = (context) => {
      source = new FakeLogSource({ group, stream: 'unit' }, context)
      source.coversOwnLog = true
      return [source]
    }
    appliance.start()
    appliance.ring.sink({ level: 'warn', text: 'covered' })
    await appliance.pass()
    await appliance.pass(flushMs)
    if (source !== undefined) source.isHealthy = false
    appliance.ring.sink({ level: 'warn', text: 'not covered' })
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('occ_log')).toEqual(['not covered'])
  })

  test('holds lines of its own for ten seconds where a source may come to cover them', async () => {
    await using appliance = await LogAppliance.open()
    const sources: FakeLogSource[] = []
    appliance.moreSources = (context) => {
      const source = new FakeLogSource({ group, stream: 'unit' }, context)
      source.mayCoverOwnLog = true
      sources.push(source)
      return [source]
    }
    appliance.start()
    appliance.ring.sink({ level: 'warn', text: 'covered after a while' })
    await appliance.pass(1_000) // which is six seconds
    for (const source of sources) source.coversOwnLog = true
    await appliance.pass(flushMs)
    for (const source of sources) source.coversOwnLog = false
    appliance.ring.sink({ level: 'warn', text: 'never covered' })
    await appliance.pass(1_000)
    expect(appliance.sent('occ_log')).toEqual([])
    await appliance.pass(1_000)
    await appliance.pass(flushMs)
    expect(appliance.sent('occ_log')).toEqual(['never covered'])
    appliance.ring.sink({ level: 'warn', text: 'at the end' })
    await appliance.stop()
    expect(appliance.sent('occ_log')).toEqual(['never covered', 'at the end'])
  })

  test('holds none of its own lines back that the ring would soon drop', async () => {
    await using appliance = await LogAppliance.open()
    appliance.ring = new LogRing({ maxLines: 4 })
    appliance.moreSources = (context) => {
      const source = new FakeLogSource({ group, stream: 'unit' }, context)
      source.mayCoverOwnLog = true
      return [source]
    }
    appliance.start()
    for (const text of ['one', 'two', 'three']) appliance.ring.sink({ level: 'warn', text })
    await appliance.pass()
    for (const text of ['four', 'five', 'six']) appliance.ring.sink({ level: 'warn', text })
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('occ_log')).toEqual(['one', 'two', 'three', 'four', 'five', 'six'])
  })

  test('sends metrics to their own stream', async () => {
    await using appliance = await LogAppliance.open()
    appliance.start()
    appliance.logs.offerMetrics('{"memory":1}')
    await appliance.pass(1_000)
    expect(appliance.sent('metrics')).toEqual(['{"memory":1}'])
  })
})

describe('failures', () => {
  test('makes a group that was deleted in the middle of a backlog again, and goes on', async () => {
    await using appliance = await LogAppliance.open()
    const all = lines(6_000)
    await writeFile(appliance.path('app.log'), text(all))
    let puts = 0
    appliance.destination.beforePut = () => {
      puts += 1
      if (puts === 3) appliance.destination.deleteGroup(group)
    }
    appliance.start()
    await drained(appliance)
    const arrived = logLines(appliance, 'app').map((message) => Number.parseInt(message, 10))
    // what was stored before went away with the group
    expect(arrived.at(-1)).toBe(5_999)
    expect(arrived).toEqual(Array.from({ length: arrived.length }, (_, at) => 6_000 - arrived.length + at))
    expect(appliance.logs.status()).toMatchObject({ lost: 0, pendingBytes: 0 })
  })

  test('lets only the streams of a denied group rest', async () => {
    await using appliance = await LogAppliance.open()
    const target = { group: '/denied', stream: 'unit' }
    appliance.moreSources = (context) => {
      const source = new FakeLogSource(target, context)
      source.lines.push('kept')
      return [source]
    }
    appliance.destination.failures.set('unit', new AgentError('AccessDeniedException'))
    appliance.start()
    for (let round = 0; round < 5; round += 1) {
      await appendFile(appliance.path('app.log'), `${round}\n`)
      await appliance.pass(flushMs)
    }
    expect(appliance.sent('app').length).toBeGreaterThan(3)
    expect(appliance.logs.worker.health().lastError?.message).toContain('stream unit of /denied')
    appliance.destination.failures.clear()
    for (let round = 0; round < 7; round += 1) await appliance.pass(flushMs)
    expect(appliance.destination.messages(target)).toEqual(['kept'])
  })

  test('goes on sending while its state cannot be saved, says so, and saves it when it can', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('../state'), 'in the way')
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    // ENOTDIR when the cursors are read: that lasts for a minute before the agent starts without them
    for (let round = 0; round < 4; round += 1) await appliance.pass(flushMs)
    await appendFile(appliance.path('app.log'), 'two\n')
    await appliance.pass(flushMs)
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'two'])
    expect(appliance.logs.worker.health()).toMatchObject({ state: 'failing' })
    expect(appliance.logs.worker.health().lastError?.message).toContain('cursor file')
    await rm(appliance.path('../state'))
    await appliance.pass(flushMs)
    expect(appliance.logs.worker.health().state).toBe('ok')
    expect(parseLogState(await appliance.readCursors()).files[0]?.positionBytes).toBe(8)
  })
})

const noMount = await whyNoMount()
if (noMount !== undefined) console.log(`skipped, because no file system can be mounted here: ${noMount}`)

describe.skipIf(noMount !== undefined)('a state folder', () => {
  test.each([
    ['is full', 'size=64k', fill],
    ['has no inode left', 'nr_inodes=8', makeFiles],
    ['has become read-only', 'size=64k', remountReadOnly],
  ])('that %s holds up no log, is told of, and is written again when it can be', async (_, option, spoil) => {
    await using appliance = await LogAppliance.open()
    const folder = appliance.path('../state')
    await mkdir(folder)
    await runCommand('mount', ['-t', 'tmpfs', '-o', option, 'tmpfs', folder])
    try {
      await writeFile(appliance.path('app.log'), 'one\n')
      appliance.start()
      await appliance.pass(flushMs)
      await spoil(folder).catch(() => undefined)
      await appendFile(appliance.path('app.log'), 'two\n')
      await appliance.pass(flushMs)
      await appliance.pass(flushMs)
      expect(appliance.sent('app')).toEqual(['one', 'two'])
      expect(appliance.logs.worker.health().state).toBe('failing')
      expect(appliance.logs.worker.health().lastError?.message).toContain('cursor file')
      await runCommand('mount', ['-o', 'remount,rw', folder])
      for (const name of await readdir(folder)) if (name !== 'logs') await rm(join(folder, name))
      await appliance.pass(flushMs)
      expect(appliance.logs.worker.health().state).toBe('ok')
      expect(parseLogState(await appliance.readCursors()).files[0]?.positionBytes).toBe(8)
    } finally {
      await runCommand('umount', ['--lazy', folder])
    }
  })
})

describe('gap records', () => {
  test('survive a crash until they have arrived, and then are gone from the state', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\n')
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    await appendFile(appliance.path('app.log'), 'two\n')
    appliance.destination.failures.set('app', offline)
    await appliance.pass(flushMs)
    await appliance.stop()
    await rm(appliance.path('app.log'))
    appliance.start()
    await appliance.pass(flushMs)
    await appliance.crash()
    expect(parseLogState(await appliance.readCursors())).toMatchObject({ files: [], gaps: [{ bytes: 4 }] })
    appliance.destination.failures.clear()
    appliance.start()
    await appliance.pass(flushMs)
    await appliance.pass(flushMs)
    expect(appliance.gaps('app')).toMatchObject([{ reason: 'rotated', bytes: 4 }])
    expect(appliance.logs.status().gapsPending).toBe(0)
    await appliance.pass(flushMs)
    expect(parseLogState(await appliance.readCursors()).gaps).toEqual([])
  })

  test('takes over the cursors that the version before wrote', async () => {
    await using appliance = await LogAppliance.open()
    await writeFile(appliance.path('app.log'), 'one\ntwo\n')
    appliance.start()
    await appliance.pass()
    await appliance.stop()
    const { files } = parseLogState(await appliance.readCursors())
    const path = appliance.path('../state/logs/cursors.json')
    await writeFile(path, JSON.stringify({ version: 1, cursors: files }))
    await appendFile(appliance.path('app.log'), 'three\n')
    appliance.start()
    await appliance.pass()
    await appliance.pass(flushMs)
    expect(appliance.sent('app')).toEqual(['one', 'two', 'three'])
    expect(appliance.gaps('app')).toEqual([])
  })
})

describe('a backlog', () => {
  test('jumps ahead once to the start of a line within the bound, and records over how much', async () => {
    await using appliance = await LogAppliance.open()
    appliance.settings = { ...appliance.settings, maxBacklogBytes: 4 * mib }
    const all = lines(10 * 1_024)
    await writeFile(appliance.path('app.log'), text(all))
    appliance.start()
    await drained(appliance)
    const skippedBytes = Number(appliance.gaps('app')[0]?.['bytes'])
    expect(appliance.gaps('app')).toMatchObject([{ reason: 'too far behind', source: appliance.path('app.log') }])
    expect(skippedBytes % 1_024).toBe(0)
    const kept = logLines(appliance, 'app')
    expect(kept).toEqual(all.slice(skippedBytes / 1_024))
    expect(kept.length * 1_024).toBeLessThanOrEqual(4 * mib)
    expect(kept.length * 1_024).toBeGreaterThan(3 * mib)
    expect(appliance.logs.status()).toMatchObject({
      leftOutBytes: skippedBytes,
      lost: 0,
      lostBytes: 0,
      pendingBytes: 0,
    })
  })

  test('gives nothing up while nothing can be sent, and jumps over whole files when it can', async () => {
    await using appliance = await LogAppliance.open()
    appliance.settings = { ...appliance.settings, maxBacklogBytes: 4 * mib }
    appliance.destination.failures.set('app', offline)
    const all = lines(12 * 1_024)
    appliance.start()
    for (let part = 0; part < 4; part += 1) {
      await appendFile(appliance.path('app.log'), text(all.slice(part * 3_072, (part + 1) * 3_072)))
      await appliance.pass(flushMs)
      if (part < 3) await rename(appliance.path('app.log'), appliance.path(`app.log.${3 - part}`))
    }
    expect(appliance.logs.status()).toMatchObject({ leftOutBytes: 0 })
    appliance.destination.failures.clear()
    await appliance.pass(70_000)
    await drained(appliance)
    const kept = logLines(appliance, 'app')
    const skippedBytes = appliance.gaps('app').reduce((sum, { bytes }) => sum + Number(bytes), 0)
    expect(kept.length * 1_024 + skippedBytes).toBe(12 * mib)
    expect(kept.at(-1)).toBe(all.at(-1))
    const [first = 0, ...rest] = kept.map((each) => Number.parseInt(each, 10))
    expect(first).toBe(0) // what was read before
    expect(rest.filter((number, at) => number !== (rest[at - 1] ?? first) + 1)).toHaveLength(1)
  })

  test('jumps ahead also where a rotated file ended with half a line while nothing could be sent', async () => {
    await using appliance = await LogAppliance.open()
    appliance.settings = { ...appliance.settings, maxBacklogBytes: 4 * mib }
    appliance.destination.failures.set('app', offline)
    await writeFile(appliance.path('app.log'), 'one\nhalf a line')
    appliance.start()
    await appliance.pass()
    await rename(appliance.path('app.log'), appliance.path('app.log.1'))
    const all = lines(10 * 1_024)
    await writeFile(appliance.path('app.log'), text(all))
    await appliance.pass(35_000)
    appliance.destination.failures.clear()
    await appliance.pass(70_000)
    await drained(appliance)
    const kept = logLines(appliance, 'app')
    expect(kept.slice(0, 2)).toEqual(['one', 'half a line'])
    expect(kept.at(-1)).toBe(all.at(-1))
    expect(appliance.gaps('app')).toMatchObject([{ reason: 'too far behind' }])
  })

  test('saves a jump and its record in one write, so that a crash neither jumps twice nor forgets it', async () => {
    await using appliance = await LogAppliance.open()
    appliance.settings = { ...appliance.settings, maxBacklogBytes: 4 * mib }
    const all = lines(10 * 1_024)
    await writeFile(appliance.path('app.log'), text(all))
    appliance.destination.failures.set('app', offline)
    appliance.start()
    await appliance.pass()
    await appliance.crash()
    const { files, gaps } = parseLogState(await appliance.readCursors())
    expect(gaps).toMatchObject([{ reason: 'too far behind', bytes: files[0]?.positionBytes }])
    appliance.destination.failures.clear()
    appliance.start()
    await drained(appliance)
    expect(appliance.gaps('app')).toMatchObject([{ bytes: files[0]?.positionBytes }])
    expect(logLines(appliance, 'app')).toEqual(all.slice((files[0]?.positionBytes ?? 0) / 1_024))
  })

  test('leaves low levels out while it is far behind, and says how many in one record at the end', async () => {
    await using appliance = await LogAppliance.open()
    appliance.settings = { ...appliance.settings, minLevelWhenBehind: 'warn' }
    const all = Array.from({ length: 12 * 1_024 }, (_, at) =>
      `${at} ${at % 8 === 0 ? 'ERROR' : 'DEBUG'} `.padEnd(1_023, 'x'),
    )
    await writeFile(appliance.path('app.log'), text(all))
    appliance.start()
    await drained(appliance)
    const [record, ...others] = appliance.gaps('app')
    expect(others).toEqual([])
    expect(record).toMatchObject({ reason: 'level', source: appliance.path('app.log') })
    const kept = logLines(appliance, 'app')
    expect(kept.length + Number(record?.['lines'])).toBe(all.length)
    expect(kept.filter((each) => each.includes('ERROR'))).toHaveLength(all.length / 8)
    expect(kept.filter((each) => each.includes('DEBUG')).length).toBeLessThan(6_000)
    expect(appliance.logs.status()).toMatchObject({ leftOut: Number(record?.['lines']), pendingBytes: 0 })
  })

  test('counts as far behind where nobody knows its size, but what is next is old', async () => {
    await using appliance = await LogAppliance.open()
    appliance.settings = { ...appliance.settings, minLevelWhenBehind: 'warn' }
    const target = { group, stream: 'unit' }
    const all = Array.from({ length: 60_000 }, (_, at) => `${at % 8 === 0 ? 'ERROR' : 'DEBUG'} ${at}`)
    appliance.moreSources = (context) => {
      const source = new FakeLogSource(target, context)
      source.ageMs = 3_600_000
      source.lines.push(...all)
      return [source]
    }
    appliance.start()
    await drained(appliance)
    await drained(appliance)
    const kept = logLines(appliance, 'unit')
    const [record] = appliance.gaps('unit')
    expect(kept.filter((each) => each.startsWith('ERROR'))).toHaveLength(all.length / 8)
    expect(kept.length + Number(record?.['lines'])).toBe(all.length)
    expect(record).toMatchObject({ reason: 'level', source: 'unit' })
    expect(appliance.gaps('unit')).toHaveLength(1)
  })

  test('is counted as far as it was sent when a crash interrupts it', async () => {
    await using appliance = await LogAppliance.open()
    appliance.settings = { ...appliance.settings, minLevelWhenBehind: 'warn' }
    const all = Array.from({ length: 12 * 1_024 }, (_, at) =>
      `${at} ${at % 8 === 0 ? 'ERROR' : 'DEBUG'} `.padEnd(1_023, 'x'),
    )
    await writeFile(appliance.path('app.log'), text(all))
    let puts = 0
    appliance.destination.beforePut = () => {
      puts += 1
      vi.advanceTimersByTime(6_000)
      if (puts === 4) appliance.destination.failures.set('app', offline)
    }
    appliance.start()
    await appliance.pass(flushMs)
    await appliance.crash()
    const { files, gaps } = parseLogState(await appliance.readCursors())
    const sentLines = logLines(appliance, 'app').length
    const recorded = gaps.reduce((sum, { lines: count = 0 }) => sum + count, 0)
    expect(recorded).toBeGreaterThan(0)
    expect(Math.floor((files[0]?.positionBytes ?? 0) / 1_024)).toBe(sentLines + recorded)
  })

  test('tells in its status how far behind each source is, and that it catches up', async () => {
    await using appliance = await LogAppliance.open()
    appliance.destination.failures.set('app', offline)
    await writeFile(appliance.path('app.log'), text(lines(8 * 1_024)))
    appliance.start()
    await appliance.pass()
    vi.advanceTimersByTime(3_600_000)
    const [source] = appliance.logs.status().sources
    expect(source).toMatchObject({
      name: appliance.path('app.log'),
      path: appliance.path('app.log'),
      group,
      stream: 'app',
      positionBytes: 0,
      sizeBytes: 8 * mib,
      backlogBytes: 8 * mib,
      lagSeconds: 3_600,
    })
    expect(appliance.logs.status().catchingUp).toBe(true)
    expect(appliance.logs.status().pendingBytes).toBeGreaterThanOrEqual(8 * mib)
    appliance.destination.failures.clear()
    await drained(appliance)
    expect(appliance.logs.status()).toMatchObject({ catchingUp: false, pendingBytes: 0 })
    expect(appliance.logs.status().sources[0]).toMatchObject({ lagSeconds: 0, backlogBytes: 0 })
  })
})

test('writes its state at most every five seconds, and not at all while nothing moves', async () => {
  await using appliance = await LogAppliance.open()
  appliance.start()
  await writeFile(appliance.path('app.log'), 'one\n')
  for (let round = 0; round < 3; round += 1) await appliance.pass(flushMs)
  const path = appliance.path('../state/logs/cursors.json')
  await utimes(path, 5, 5)
  const folder = dirname(path)
  await mkdir(folder, { recursive: true })
  for (let round = 0; round < 10; round += 1) await appliance.pass(60_000)
  expect((await appliance.statCursors()).mtimeMs).toBe(5_000)
})

test('leaves no timer and no request behind when it is stopped in the middle of a backlog', async () => {
  await using appliance = await LogAppliance.open()
  appliance.settings = { ...appliance.settings, maxBytesPerSecond: 65_536 }
  for (const name of ['app', 'hangs']) await writeFile(appliance.path(`${name}.log`), text(lines(4 * 1_024)))
  appliance.destination.hanging.add('hangs')
  appliance.start()
  await appliance.pass(3_000)
  expect(appliance.puts('hangs')).toBe(1)
  await appliance.crash()
  const { length } = appliance.destination.calls
  expect(vi.getTimerCount()).toBe(0)
  vi.advanceTimersByTime(3_600_000)
  expect(appliance.destination.calls).toHaveLength(length)
})

async function fill(folder: string): Promise<void> {
  await writeFile(join(folder, 'ballast'), 'x'.repeat(100_000))
}

async function makeFiles(folder: string): Promise<void> {
  for (let at = 0; at < 20; at += 1) await writeFile(join(folder, `file-${at}`), '')
}

function logLines(appliance: LogAppliance, stream: string): readonly string[] {
  return appliance.sent(stream).filter((message) => !message.startsWith('{'))
}

async function drained(appliance: LogAppliance): Promise<void> {
  for (let round = 0; round < 20; round += 1) {
    await appliance.pass(flushMs)
    const { pendingBytes, gapsPending } = appliance.logs.status()
    if (pendingBytes === 0 && gapsPending === 0) return
  }
  throw new Error('it did not get everything sent')
}
