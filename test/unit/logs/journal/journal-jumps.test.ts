import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { bootBefore, fakeRealtimeUs, thisBoot } from '../../../support/fake-journalctl.ts'
import { entryBytes, JournalBench } from './journal-bench.ts'
import { useFakeClock } from '../log-appliance.ts'

const app = 'app.service'
const web = 'web.service'
const base = 2_000_000_000_000

describe('a journal that is too far behind', () => {
  let bench: JournalBench

  beforeEach(() => {
    useFakeClock()
    bench = new JournalBench()
    bench.sources = [{ kind: 'journal', unit: app }]
  })

  afterEach(async () => {
    await bench.source[Symbol.asyncDispose]()
    expect(bench.journalctl.runningCount).toBe(0)
    vi.useRealTimers()
  })

  it('is jumped ahead in once, to within the bound, and what is jumped over is one gap record', async () => {
    bench.maxBacklogBytes = 100 * entryBytes
    bench.journalctl.say(app, ...numbered(1, 1))
    bench.journalctl.files.set('/j/system.journal', [1, 1_000])
    await bench.read()
    bench.sink('app').accept()
    bench.journalctl.say(app, ...numbered(2, 1_000))
    await bench.crash()
    await bench.read()
    const { messages } = bench.sink('app')
    expect(messages.at(-1)).toBe('1000')
    expect(messages.length).toBeLessThanOrEqual(90)
    expect(messages.length).toBeGreaterThan(60)
    const first = Number(messages[0])
    expect(messages).toEqual(numbered(first, 1_000))
    const gap = { target: { group: 'device', stream: 'app' }, source: 'the journal', reason: 'too far behind' }
    expect(bench.gaps).toEqual([{ ...gap, firstMs: base + 1, lastMs: base + first }])
    bench.sink('app').accept()
    await bench.crash()
    await bench.read()
    await bench.read(600_000)
    expect(bench.sink('app').messages).toEqual([])
    expect(bench.gaps).toHaveLength(1)
  })

  it('is jumped ahead in at the very first start as well, to within one of several files, of another boot', async () => {
    bench.maxBacklogBytes = 100 * entryBytes
    bench.journalctl.write(...entries(bootBefore, 1, 200), ...entries(thisBoot, 201, 500))
    bench.journalctl.files.set('/j/system@1.journal', [1, 300])
    bench.journalctl.files.set('/j/system@2.journal', [301, 450])
    bench.journalctl.files.set('/j/system.journal', [451, 500])
    await bench.read()
    const { messages } = bench.sink('app')
    expect(Number(messages[0])).toBeGreaterThanOrEqual(411)
    expect(Number(messages[0])).toBeLessThan(430)
    expect(messages.at(-1)).toBe('500')
    expect(bench.gaps).toMatchObject([{ reason: 'too far behind', lastMs: base + Number(messages[0]) }])
    expect(bench.gaps[0]).not.toHaveProperty('firstMs')
  })

  it('is jumped ahead in over boots that nothing is left of then', async () => {
    bench.maxBacklogBytes = 100 * entryBytes
    bench.bootId = bootBefore
    bench.journalctl.write(...entries(bootBefore, 1, 200))
    await bench.read()
    bench.sink('app').accept(10)
    const { state } = bench.source
    bench.bootId = thisBoot
    bench.journalctl.write(...entries(thisBoot, 201, 500))
    bench.journalctl.files.set('/j/system.journal', [1, 500])
    await bench.crash(state)
    await bench.read()
    expect(Number(bench.sink('app').messages[0])).toBeGreaterThan(400)
    expect(bench.gaps).toMatchObject([{ reason: 'too far behind', firstMs: fakeRealtimeUs(10) / 1_000 }])
    expect(bench.journalctl.runs.filter((args) => args.includes(`_BOOT_ID=${bootBefore}`))).toHaveLength(0)
  })

  it('leaves streams alone that are within the bound, and loses nothing of theirs', async () => {
    bench.sources = [
      { kind: 'journal', unit: app },
      { kind: 'journal', unit: web },
    ]
    bench.sink('app').room = 1
    bench.journalctl.say(app, ...numbered(1, 2))
    bench.journalctl.say(web, ...numbered(3, 905))
    bench.journalctl.files.set('/j/system.journal', [1, 1_000])
    await bench.read()
    await bench.read(30_000) // the stream that stands still is left behind
    bench.sink('web').accept()
    bench.sink('app').accept()
    bench.journalctl.say(web, ...numbered(906, 1_000))
    bench.maxBacklogBytes = 100 * entryBytes
    await bench.crash()
    await bench.read()
    expect(bench.sink('web').messages).toEqual(numbered(906, 1_000))
    expect(bench.gaps).toMatchObject([
      { target: { stream: 'app' }, reason: 'too far behind', firstMs: base + 1, lastMs: base + 905 },
    ])
  })

  it('is not jumped ahead in before what was read was accepted', async () => {
    bench.maxBacklogBytes = 100 * entryBytes
    bench.sink('app').room = 10
    bench.journalctl.say(app, ...numbered(1, 50))
    bench.journalctl.files.set('/j/system.journal', [1, 1_000])
    await bench.read()
    bench.journalctl.say(app, ...numbered(51, 1_000))
    await bench.read(600_000)
    await bench.read(600_000)
    expect(bench.gaps).toEqual([])
    expect(bench.sink('app').messages).toEqual(numbered(1, 10))
    expect(bench.journalctl.runningCount).toBe(0)
    bench.sink('app').room = Infinity
    await bench.read()
    expect(bench.gaps).toEqual([])
    bench.sink('app').accept()
    await bench.read()
    expect(bench.gaps).toHaveLength(1)
    expect(bench.sink('app').messages.at(-1)).toBe('1000')
    bench.sink('app').accept()
    expect(bench.source.state?.cursors[0]?.at?.realtimeUs).toBe(fakeRealtimeUs(1_000))
  })

  it('is jumped ahead in over whole files that are too old, the rest being left out event by event', async () => {
    bench.journalctl.say(app, ...numbered(1, 1))
    await bench.read()
    bench.sink('app').accept()
    bench.journalctl.say(app, ...numbered(2, 900))
    bench.journalctl.files.set('/j/system@1.journal', [1, 400])
    bench.journalctl.files.set('/j/system@2.journal', [401, 800])
    bench.journalctl.files.set('/j/system.journal', [801, 900])
    bench.oldestMs = fakeRealtimeUs(500) / 1_000
    await bench.crash()
    await bench.read()
    expect(bench.sink('app').messages).toEqual(numbered(401, 900))
    expect(bench.gaps).toMatchObject([{ reason: 'too far behind', firstMs: base + 1, lastMs: base + 401 }])
    bench.sink('app').accept()
    await bench.read(600_000)
    expect(bench.gaps).toHaveLength(1)
  })

  it('keeps what a clock says to be of years ago, and everything while the clock is in doubt', async () => {
    const yearsMs = 500 * 86_400_000
    bench.journalctl.say(app, ...numbered(1, 400))
    bench.journalctl.skip(yearsMs)
    bench.journalctl.say(app, ...numbered(401, 900))
    bench.journalctl.files.set('/j/system@1.journal', [1, 400])
    bench.journalctl.files.set('/j/system.journal', [401, yearsMs + 900])
    bench.oldestMs = fakeRealtimeUs(yearsMs + 401) / 1_000
    await bench.read()
    expect(bench.sink('app').messages).toEqual(numbered(1, 900))
    bench.oldestMs = undefined
    await bench.crash()
    await bench.read()
    expect(bench.sink('app').messages).toEqual(numbered(1, 900))
    expect(bench.gaps).toEqual([])
  })

  it('is read on in as it was where its files cannot be measured, which the status says', async () => {
    bench.maxBacklogBytes = 10 * entryBytes
    bench.filesError = new Error('EACCES: permission denied')
    bench.journalctl.say(app, ...numbered(1, 100))
    bench.journalctl.files.set('/j/system.journal', [1, 100])
    await bench.read()
    expect(bench.sink('app').messages).toEqual(numbered(1, 100))
    expect(bench.gaps).toEqual([])
    expect(bench.source.failures()).toMatchObject([
      { what: 'the backlog of the journal', error: { message: /not bounded/, cause: bench.filesError } },
    ])
    expect(bench.source.progress().every(({ lastError }) => lastError === undefined)).toBe(true)
  })

  it('is read on in as it was when no entry can be found to go on at', async () => {
    bench.maxBacklogBytes = 10 * entryBytes
    bench.journalctl.say(app, ...numbered(1, 100))
    bench.journalctl.files.set('/j/system.journal', [1, 100])
    bench.journalctl.brokenFiles.add('/j/system.journal')
    await bench.read()
    expect(bench.sink('app').messages).toEqual(numbered(1, 100))
    expect(bench.gaps).toEqual([])
  })

  it('is looked for no more than now and then, and not while what is written is read at once', async () => {
    let looks = 0
    bench.onLook = () => {
      looks += 1
    }
    bench.journalctl.say(app, '1')
    await bench.read()
    for (let read = 0; read < 60; read += 1) await bench.read(10_000)
    expect(looks).toBe(1)
    await bench.crash() // what it reads is ten minutes old now
    for (let read = 0; read < 60; read += 1) await bench.read(10_000)
    expect(looks).toBeGreaterThan(2)
    expect(looks).toBeLessThanOrEqual(4)
  })
})

function numbered(first: number, last: number): readonly string[] {
  return Array.from({ length: last - first + 1 }, (_, at) => String(first + at))
}

function entries(
  boot: string,
  first: number,
  last: number,
): readonly { readonly boot: string; readonly fields: Readonly<Record<string, unknown>> }[] {
  return numbered(first, last).map((MESSAGE) => ({ boot, fields: { MESSAGE, _SYSTEMD_UNIT: app } }))
}
