import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { AgentError } from '../../../../agent/lib/errors.ts'
import { bootBefore, fakeCursor, fakeRealtimeUs, thisBoot } from '../../../support/fake-journalctl.ts'
import { JournalBench, ownUnit } from './journal-bench.ts'
import { useFakeClock } from '../log-appliance.ts'

const app = 'app.service'
const web = 'web.service'

describe('JournalSource', () => {
  let bench: JournalBench

  beforeEach(() => {
    useFakeClock()
    bench = new JournalBench()
  })

  afterEach(async () => {
    await bench.source[Symbol.asyncDispose]()
    expect(bench.journalctl.runningCount).toBe(0)
    vi.useRealTimers()
  })

  describe('dispatch', () => {
    it('tells the kernel, the agent and all others apart', async () => {
      bench.journalctl.write(
        {
          fields: { MESSAGE: 'usb 1-1: new device', PRIORITY: '6', _TRANSPORT: 'kernel', SYSLOG_IDENTIFIER: 'kernel' },
        },
        { fields: { MESSAGE: 'sync: done', _SYSTEMD_UNIT: ownUnit, _TRANSPORT: 'stdout', _PID: '7' } },
        { fields: { MESSAGE: 'Started it', _SYSTEMD_UNIT: 'init.scope', UNIT: ownUnit, _PID: '1' } },
        { fields: { MESSAGE: 'hello', _SYSTEMD_UNIT: app, SYSLOG_IDENTIFIER: 'app', _PID: '12' } },
        { fields: { MESSAGE: 'nobody said so' } },
      )
      await bench.read()
      expect(bench.sink('kern_log').messages).toEqual(['usb 1-1: new device'])
      expect(bench.sink('occ_log').messages).toEqual(['sync: done', 'Started it'])
      expect(bench.sink('syslog').messages).toEqual(['app[12]: hello', 'unknown: nobody said so'])
    })

    it('prefers the source of the unit to the one for all, and reads only what a source wants', async () => {
      bench.sources = [{ kind: 'journal', unit: app }]
      bench.journalctl.say(app, 'one')
      bench.journalctl.say(web, 'not wanted')
      bench.journalctl.write({ fields: { MESSAGE: 'Stopped it', UNIT: app, _PID: '1' } })
      bench.journalctl.write({ fields: { MESSAGE: 'a lie', UNIT: app, _PID: '99', _SYSTEMD_UNIT: web } })
      await bench.read()
      expect(bench.sink('app').messages).toEqual(['one', 'Stopped it'])
      expect(bench.source.targets).toEqual([{ group: 'device', stream: 'app' }])
      bench.sources = [{ kind: 'journal' }, { kind: 'journal', unit: app, group: 'apps', stream: 'x-{unit}' }]
      await bench.crash(undefined)
      await bench.read()
      expect(bench.sink('x-app').messages).toEqual(['one', 'Stopped it'])
      expect(bench.sink('syslog').messages).toEqual([`${web}: not wanted`, `${web}[99]: a lie`])
    })

    it('says whose each message is where one stream is for all', async () => {
      bench.sources = [{ kind: 'journal', stream: 'everything' }]
      bench.journalctl.write({ fields: { MESSAGE: 'oom', _TRANSPORT: 'kernel', SYSLOG_IDENTIFIER: 'kernel' } })
      await bench.read()
      expect(bench.sink('everything').messages).toEqual(['kernel: oom'])
    })

    it('gives entries of this boot their time on the monotonic clock, others the time that they state', async () => {
      bench.journalctl.write({ boot: bootBefore, fields: { MESSAGE: 'old', _SYSTEMD_UNIT: app } })
      bench.journalctl.write({ boot: thisBoot, fields: { MESSAGE: 'new', _SYSTEMD_UNIT: app, PRIORITY: '3' } })
      const cursor = { group: 'device', stream: 'syslog', bootId: bootBefore }
      await bench.crash({ boots: [bootBefore], cursors: [cursor] })
      await bench.read()
      const [old, recent] = bench.sink('syslog').offered
      expect(old).toMatchObject({ statedMs: fakeRealtimeUs(1) / 1_000, wallOffsetMs: undefined, level: undefined })
      expect(recent).toMatchObject({ statedMs: undefined, atMs: 2, level: 'error' })
    })

    it('leaves out empty messages, and splits those over a megabyte between characters', async () => {
      bench.sources = [{ kind: 'journal', unit: app }]
      bench.journalctl.say(app, '', 'é'.repeat(600_000))
      await bench.read()
      const { offered } = bench.sink('app')
      expect(offered).toHaveLength(2)
      expect(offered.every(({ messageBytes }) => messageBytes <= 1_000_000)).toBe(true)
      const text = offered.map(({ message }) => message.replace(' [continues in the next event]', '')).join('')
      expect(text).toBe('é'.repeat(600_000))
      bench.sink('app').accept(1)
      expect(bench.source.state?.cursors).toEqual([{ group: 'device', stream: 'app', bootId: thisBoot }])
      bench.sink('app').accept()
      expect(bench.source.state?.cursors[0]?.at?.cursor).toBe(fakeCursor(2))
    })

    it('counts what is too long or garbled as lost, and goes on', async () => {
      bench.journalctl.say(app, 'before')
      await bench.read()
      bench.journalctl.print('-- No entries --\n\n{"MESSAGE":\n')
      bench.journalctl.print(`{"MESSAGE":"${'x'.repeat(5_000_000)}"}\n`)
      bench.journalctl.say(app, 'after')
      await bench.read()
      expect(bench.sink('syslog').messages).toEqual([`${app}: before`, `${app}: after`])
      expect(bench.gaps).toMatchObject([
        { target: { stream: 'syslog' }, reason: 'dropped', lines: 1, bytes: 11 },
        { target: { stream: 'syslog' }, reason: 'dropped', lines: 1, bytes: 5_000_014 },
      ])
    })
  })

  describe('cursors', () => {
    it('of a stream that no source feeds for a while are kept', async () => {
      const sources = [{ kind: 'journal', unit: app } as const, { kind: 'journal', unit: web } as const]
      bench.sources = sources
      bench.journalctl.say(app, 'one')
      bench.journalctl.say(web, 'one')
      await bench.read()
      bench.sink('app').accept()
      bench.sink('web').accept()
      bench.sources = sources.slice(0, 1)
      await bench.crash()
      await bench.read()
      bench.journalctl.say(web, 'two')
      bench.sources = sources
      await bench.crash()
      await bench.read()
      expect(bench.sink('web').messages).toEqual(['two'])
      expect(bench.gaps).toEqual([])
    })

    it('begin with the first entry of this boot, the earlier ones left out', async () => {
      bench.journalctl.write({ boot: bootBefore, fields: { MESSAGE: 'before', _SYSTEMD_UNIT: app } })
      bench.journalctl.write({ boot: thisBoot, fields: { MESSAGE: 'first', _SYSTEMD_UNIT: app } })
      await bench.read()
      expect(bench.sink('syslog').messages).toEqual([`${app}: first`])
      expect(bench.gaps).toEqual([])
      expect(bench.journalctl.runs.at(-1)).toEqual(
        expect.arrayContaining(['--follow', '--no-tail', `--boot=${thisBoot}`]),
      )
      expect(bench.source.state).toMatchObject({ boots: [bootBefore, thisBoot] })
    })

    it('move only when events are accepted, and what was not is read again after a crash', async () => {
      bench.sources = [{ kind: 'journal', unit: app }]
      bench.journalctl.say(app, 'one', 'two', 'three')
      await bench.read()
      bench.sink('app').accept(2)
      await bench.crash()
      await bench.read()
      expect(bench.journalctl.runs.at(-1)).toContain(`--cursor=${fakeCursor(2)}`)
      expect(bench.sink('app').messages).toEqual(['three'])
      expect(bench.gaps).toEqual([])
    })

    it('are kept per stream: each goes on where it was', async () => {
      bench.sources = [
        { kind: 'journal', unit: app },
        { kind: 'journal', unit: web },
      ]
      bench.journalctl.say(app, 'a1', 'a2')
      bench.journalctl.say(web, 'w1', 'w2')
      bench.journalctl.say(app, 'a3')
      await bench.read()
      bench.sink('app').accept(1)
      bench.sink('web').accept()
      await bench.crash()
      await bench.read()
      expect(bench.sink('app').messages).toEqual(['a2', 'a3'])
      expect(bench.sink('web').messages).toEqual([])
      bench.journalctl.say(web, 'w3')
      await bench.read()
      expect(bench.sink('web').messages).toEqual(['w3'])
      expect(bench.gaps).toEqual([])
    })

    it('move past what nobody wants once a minute at most, and never past what is not accepted', async () => {
      bench.sources = [
        { kind: 'journal', unit: app },
        { kind: 'journal', unit: web },
      ]
      bench.journalctl.say(app, 'a1')
      bench.journalctl.say('noise.service', 'x', 'y')
      await bench.read()
      const before = bench.source.state
      expect(before?.cursors.map(({ at }) => at)).toEqual([undefined, undefined])
      await bench.read(30_000)
      expect(bench.source.state).toEqual(before)
      await bench.read(30_000)
      const cursorOf = (stream: string): string | undefined =>
        bench.source.state?.cursors.find((cursor) => cursor.stream === stream)?.at?.cursor
      expect(cursorOf('web')).toBe(fakeCursor(3))
      expect(cursorOf('app')).toBeUndefined()
      bench.sink('app').accept()
      expect(cursorOf('app')).toBe(fakeCursor(1))
      await bench.read(60_000)
      expect(cursorOf('app')).toBe(fakeCursor(3))
    })

    it('of a stream that is new begin with this boot, while the others go on', async () => {
      bench.sources = [{ kind: 'journal', unit: app }]
      bench.journalctl.say(app, 'a1')
      bench.journalctl.say(web, 'w1')
      await bench.read()
      bench.sink('app').accept()
      const { state } = bench.source
      bench.sources = [
        { kind: 'journal', unit: app },
        { kind: 'journal', unit: web },
      ]
      await bench.crash(state)
      await bench.read()
      expect(bench.sink('app').messages).toEqual([])
      expect(bench.sink('web').messages).toEqual(['w1'])
    })

    it('that journalctl refuses are done without: nothing is sent twice, nothing is lost', async () => {
      bench.sources = [{ kind: 'journal', unit: app }]
      bench.journalctl.say(app, 'one', 'two')
      await bench.read()
      bench.sink('app').accept(1)
      await bench.crash()
      bench.journalctl.failures.push(new AgentError('journalctl ended: Failed to seek to cursor: Invalid argument'))
      await bench.read()
      await bench.read(2_000)
      expect(bench.journalctl.runs.at(-1)?.join(' ')).not.toContain('--cursor')
      expect(bench.sink('app').messages).toEqual(['two'])
    })
  })

  describe('boots', () => {
    it('reads the rest of an earlier boot, then those that came since, then this one, whatever the clock said', async () => {
      const between = 'c'.repeat(32)
      bench.sources = [{ kind: 'journal', unit: app }]
      bench.bootId = bootBefore
      bench.journalctl.write({ boot: bootBefore, fields: { MESSAGE: 'one', _SYSTEMD_UNIT: app } })
      await bench.read()
      bench.sink('app').accept()
      bench.journalctl.say(app, 'two')
      const { state } = bench.source
      bench.journalctl.write({ boot: between, fields: { MESSAGE: 'three', _SYSTEMD_UNIT: app } })
      bench.journalctl.write({ boot: thisBoot, fields: { MESSAGE: 'four', _SYSTEMD_UNIT: app } })
      bench.bootId = thisBoot
      await bench.crash(state)
      await bench.read()
      expect(bench.sink('app').messages).toEqual(['two', 'three', 'four'])
      expect(bench.gaps).toEqual([])
      expect(bench.source.state?.boots).toEqual([bootBefore, between, thisBoot])
      bench.sink('app').accept()
      await bench.crash()
      await bench.read()
      expect(bench.sink('app').messages).toEqual([])
    })

    it('cannot be read without the id of this one, and says what to do', async () => {
      bench.bootId = undefined
      await bench.read()
      expect(bench.source.failures()).toMatchObject([{ error: { hint: expect.stringContaining('%b') as unknown } }])
      expect(bench.journalctl.runs).toEqual([])
      expect(bench.source.isHealthy).toBe(false)
    })
  })

  describe('gaps', () => {
    it('records once what was vacuumed before it was read', async () => {
      bench.sources = [{ kind: 'journal', unit: app }]
      bench.journalctl.say(app, 'one', 'two', 'three', 'four')
      await bench.read()
      bench.sink('app').accept(1)
      bench.journalctl.vacuum(1)
      await bench.crash()
      await bench.read()
      expect(bench.sink('app').messages).toEqual(['four'])
      const base = 2_000_000_000_000
      expect(bench.gaps).toEqual([
        {
          target: { group: 'device', stream: 'app' },
          source: 'the journal',
          reason: 'vacuumed',
          firstMs: base + 1,
          lastMs: base + 4,
        },
      ])
      await bench.crash()
      await bench.read()
      expect(bench.gaps).toHaveLength(1)
      expect(bench.sink('app').messages).toEqual(['four'])
    })

    it('records it again when the next entry was vacuumed as well before it was accepted', async () => {
      bench.sources = [{ kind: 'journal', unit: app }]
      bench.journalctl.say(app, 'one', 'two', 'three', 'four')
      await bench.read()
      bench.sink('app').accept(1)
      bench.journalctl.vacuum(1)
      await bench.crash()
      await bench.read()
      bench.journalctl.say(app, 'five')
      bench.journalctl.vacuum(1)
      await bench.crash()
      await bench.read()
      expect(bench.sink('app').messages).toEqual(['five'])
      expect(bench.gaps).toHaveLength(2)
    })

    it('records nothing for a stream that had passed what was vacuumed', async () => {
      bench.sources = [
        { kind: 'journal', unit: app },
        { kind: 'journal', unit: web },
      ]
      bench.sink('app').room = 1
      bench.journalctl.say(app, 'a1', 'a2')
      bench.journalctl.say(web, 'w1')
      bench.journalctl.say('noise.service', 'x', 'y')
      await bench.read()
      await bench.read(30_000)
      bench.journalctl.vacuum(1)
      bench.sink('app').accept()
      await bench.read()
      expect(bench.gaps.map(({ target }) => target.stream)).toEqual(['app'])
    })

    it('records nothing when only entries were vacuumed that were accepted', async () => {
      bench.sources = [{ kind: 'journal', unit: app }]
      bench.journalctl.say(app, 'one', 'two')
      await bench.read()
      bench.sink('app').accept()
      bench.journalctl.vacuum(0)
      await bench.crash()
      await bench.read()
      bench.journalctl.say(app, 'three')
      await bench.read()
      expect(bench.sink('app').messages).toEqual(['three'])
      expect(bench.gaps).toEqual([])
    })

    it('records what went away while journalctl had to wait', async () => {
      bench.sources = [{ kind: 'journal', unit: app }]
      bench.sink('app').room = 1
      bench.journalctl.say(app, 'one')
      bench.journalctl.say('noise.service', ...Array.from({ length: 12 }, () => 'x'.repeat(100_000)))
      await bench.read()
      expect(bench.journalctl.isPaused).toBe(false)
      bench.journalctl.say(app, 'two', ...Array.from({ length: 12 }, () => 'x'.repeat(100_000)))
      await bench.read()
      expect(bench.journalctl.isPaused).toBe(true)
      bench.sink('app').room = Infinity
      bench.journalctl.skip(5)
      bench.journalctl.say(app, 'last')
      await bench.read()
      expect(bench.sink('app').messages.at(-1)).toBe('last')
      expect(bench.gaps).toMatchObject([{ target: { stream: 'app' }, reason: 'vacuumed' }])
    })
  })

  describe('a stream that stands still', () => {
    beforeEach(() => {
      bench.sources = [
        { kind: 'journal', unit: app },
        { kind: 'journal', unit: web },
      ]
      bench.sink('app').room = 1
      bench.journalctl.say(app, 'a1', 'a2')
      bench.journalctl.say(web, 'w1')
    })

    it('is waited for, as long as it may go on soon', async () => {
      await bench.read()
      expect(bench.source.hasMore).toBe(true)
      await bench.read(20_000)
      expect(bench.sink('web').messages).toEqual([])
      bench.sink('app').accept()
      await bench.read(20_000)
      expect(bench.sink('app').messages).toEqual(['a1', 'a2'])
      expect(bench.sink('web').messages).toEqual(['w1'])
      expect(bench.source.hasMore).toBe(false)
      expect(bench.journalctl.runs).toHaveLength(2)
    })

    it('is left behind by the others, and read again from its place when it takes something', async () => {
      await bench.read()
      await bench.read(30_000)
      expect(bench.sink('web').messages).toEqual(['w1'])
      expect(bench.source.isHealthy).toBe(false)
      expect(bench.source.hasMore).toBe(true)
      bench.journalctl.say(app, 'a3')
      bench.journalctl.say(web, 'w2')
      await bench.read()
      bench.sink('app').room = Infinity
      bench.sink('app').accept()
      await bench.read()
      bench.journalctl.say(web, 'w3')
      bench.journalctl.say(app, 'a4')
      await bench.read()
      expect(bench.sink('app').messages).toEqual(['a1', 'a2', 'a3', 'a4'])
      expect(bench.sink('web').messages).toEqual(['w1', 'w2', 'w3'])
      expect(bench.source.isHealthy).toBe(true)
      expect(bench.gaps).toEqual([])
    })

    it('keeps its place when it takes something again while journalctl waits for its next start', async () => {
      await bench.read()
      await bench.read(30_000)
      expect(bench.sink('web').messages).toEqual(['w1'])
      await bench.read(29_500)
      bench.journalctl.die(new AgentError('journalctl ended with SIGKILL', { retryable: true }))
      await bench.read()
      bench.sink('app').accept()
      await bench.read(500) // what was passed counts as settled now, once a minute
      expect(bench.journalctl.runningCount).toBe(0)
      await bench.read(1_000)
      expect(bench.sink('app').messages).toEqual(['a1', 'a2'])
      expect(bench.gaps).toEqual([])
    })

    it('is waited for as long as something of it is accepted, though it stays full', async () => {
      bench.sink('app').room = 2
      bench.journalctl.say(app, 'a3')
      bench.journalctl.say(web, 'w2')
      await bench.read()
      bench.sink('app').room = 1
      await bench.read(20_000)
      bench.sink('app').accept(1)
      await bench.read(20_000)
      expect(bench.sink('web').messages).toEqual(['w1'])
      await bench.read(20_000)
      expect(bench.sink('web').messages).toEqual(['w1', 'w2'])
    })

    it('is left behind as well when it moves, but the others would wait for more than minutes', async () => {
      bench.journalctl.say(app, ...Array.from({ length: 30 }, (_, at) => `a${at + 3}`))
      bench.journalctl.say(web, 'w2')
      bench.sink('app').room = 2
      await bench.read()
      bench.sink('app').room = 1
      for (let round = 0; round < 14; round += 1) {
        bench.sink('app').accept(1)
        await bench.read(20_000)
      }
      expect(bench.sink('web').messages).toEqual(['w1'])
      for (let round = 0; round < 4; round += 1) {
        bench.sink('app').accept(1)
        await bench.read(20_000)
      }
      expect(bench.sink('web').messages).toEqual(['w1', 'w2'])
      bench.sink('app').room = Infinity
      bench.sink('app').accept()
      await bench.read(300_000)
      await bench.read()
      expect(bench.sink('app').messages).toHaveLength(32)
      expect(bench.gaps).toEqual([])
    })

    it('makes the journal no substitute for what waits behind it, not even for a moment', async () => {
      bench.sink('app').room = 2
      await bench.read()
      expect(bench.source.isHealthy).toBe(true)
      bench.journalctl.say(app, 'a3')
      await bench.read()
      expect(bench.source.isHealthy).toBe(false)
      bench.sink('app').accept()
      await bench.read()
      expect(bench.source.isHealthy).toBe(true)
    })

    it('is no different from a backlog: the journal counts as followed once it comes to what is new', async () => {
      bench.sink('app').room = Infinity
      await bench.read(61_000)
      expect(bench.sink('web').messages).toEqual(['w1'])
      expect(bench.source.isHealthy).toBe(false)
      bench.journalctl.skip(61_000)
      bench.journalctl.say(web, 'w2')
      await bench.read()
      expect(bench.source.isHealthy).toBe(true)
    })

    it('is taken in again the more rarely, the more often it was', async () => {
      await bench.read()
      for (const taken of [2, 3, 4, 5, 6]) {
        await bench.read(30_000) // it is left behind
        bench.sink('app').accept()
        if (taken < 6) await bench.read()
        bench.journalctl.say(app, `a${taken + 1}`)
        if (taken < 6) await bench.read()
      }
      const runs = bench.journalctl.runs.length
      await bench.read()
      expect(bench.journalctl.runs).toHaveLength(runs)
      await bench.read(10_000)
      expect(bench.journalctl.runs).toHaveLength(runs + 1)
      expect(bench.sink('app').messages).toEqual(['a1', 'a2', 'a3', 'a4', 'a5', 'a6'])
    })

    it('ends journalctl when it was the last', async () => {
      await bench.read()
      bench.sink('web').room = 0
      await bench.read(30_000)
      await bench.read(30_000)
      expect(bench.journalctl.runningCount).toBe(0)
      bench.sink('app').accept()
      bench.sink('web').room = 10
      await bench.read()
      await bench.read()
      expect(bench.sink('app').messages).toEqual(['a1', 'a2'])
      expect(bench.sink('web').messages).toEqual(['w1'])
      expect(bench.gaps).toEqual([])
    })
  })

  describe('failures', () => {
    it('starts journalctl again with a back-off, and goes on where it was', async () => {
      bench.journalctl.say(app, 'one')
      await bench.read()
      bench.journalctl.die(new AgentError('journalctl ended with SIGKILL', { retryable: true }))
      bench.journalctl.failures.push(new AgentError('again', { retryable: true }))
      await bench.read()
      expect(bench.source.failures()).toMatchObject([{ what: 'the journal', error: { message: /SIGKILL/ } }])
      const told = bench.source.progress().map(({ target: { stream }, lastError }) => [stream, String(lastError)])
      const why = expect.stringContaining('SIGKILL') as unknown
      expect(told).toEqual(bench.source.targets.map(({ stream }) => [stream, why]))
      const runs = bench.journalctl.runs.length
      for (let look = 0; look < 10; look += 1) await bench.read()
      expect(bench.journalctl.runs).toHaveLength(runs)
      await bench.read(1_000)
      expect(bench.journalctl.runs).toHaveLength(runs + 1)
      bench.journalctl.say(app, 'two')
      await bench.read(1_000)
      expect(bench.journalctl.runs).toHaveLength(runs + 1)
      await bench.read(1_000)
      expect(bench.sink('syslog').messages).toEqual([`${app}: one`, `${app}: two`])
      expect(bench.source.failures()).toEqual([])
      expect(bench.source.progress().every(({ lastError }) => lastError === undefined)).toBe(true)
      expect(bench.gaps).toEqual([])
    })

    it('reports a journal of which not everything may be read', async () => {
      bench.journalctl.say(app, 'one')
      bench.journalctl.complaint = 'Hint: You are currently not seeing messages from other users and the system.'
      await bench.read()
      expect(bench.source.failures()).toMatchObject([
        {
          error: { hint: expect.stringContaining('SupplementaryGroups=systemd-journal') as unknown, retryable: false },
        },
      ])
    })

    it('keeps the state that it was given until it can read the journal', async () => {
      const state = { boots: [bootBefore], cursors: [{ group: 'device', stream: 'syslog', bootId: bootBefore }] }
      await bench.crash(state)
      bench.journalctl.failures.push(new AgentError('no'))
      await bench.read()
      expect(bench.source.state).toEqual(state)
    })

    it('stops in the middle of waiting when it is told to', async () => {
      bench.journalctl.say(app, 'one')
      await bench.source.read(bench, { signal: AbortSignal.abort(), beat: () => undefined })
      expect(bench.sink('syslog').messages).toEqual([])
    })
  })

  it('carries the own log only when this very process was seen in the journal', async () => {
    bench.journalctl.write({ fields: { MESSAGE: 'x', _SYSTEMD_UNIT: ownUnit, _PID: '7' } })
    await bench.read()
    expect(bench.source.coversOwnLog).toBe(false)
    const fields = { MESSAGE: 'T WARN  logs: y', _SYSTEMD_UNIT: ownUnit, _PID: String(process.pid), PRIORITY: '6' }
    bench.journalctl.write({ fields: { ...fields, _TRANSPORT: 'stdout' } })
    await bench.read()
    expect(bench.source.coversOwnLog).toBe(true)
    expect(bench.sink('occ_log').offered.at(-1)?.level).toBe('warn')
  })

  it('may come to carry the own log unless it cannot be read', async () => {
    expect(bench.source.mayCoverOwnLog).toBe(true)
    bench.journalctl.failures.push(new AgentError('no'))
    await bench.read()
    expect(bench.source.mayCoverOwnLog).toBe(false)
  })
})
