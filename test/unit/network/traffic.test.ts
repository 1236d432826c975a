import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { TrafficMeter, TrafficPausedError, type TrafficMeterOptions } from '../../../agent/network/traffic-meter.ts'
import { countTraffic, endOfMonthMs, monthOf, type TrafficMonth } from '../../../agent/network/traffic-month.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { running } from '../../support/running-worker.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const november = Date.UTC(2026, 10, 20)
const december = Date.UTC(2026, 11, 1)
const megabyte = 1_048_576

describe('a month', () => {
  const month = (name: string, bytes: number, unplacedBytes = 0): TrafficMonth => ({
    month: name,
    bytes,
    unplacedBytes,
  })

  it.each([
    ['counts on', month('2026-11', 10), { nowMs: november, isKnown: true, bytes: 5 }, month('2026-11', 15)],
    ['begins with none before', undefined, { nowMs: november, isKnown: true, bytes: 5 }, month('2026-11', 5)],
    ['gives way to the next', month('2026-11', 10), { nowMs: december, isKnown: true, bytes: 5 }, month('2026-12', 5)],
    [
      'does not end by a time that nobody told',
      month('2026-11', 10),
      { nowMs: december, isKnown: false, bytes: 5 },
      month('2026-11', 15, 5),
    ],
    [
      'takes along what came before the time was known',
      month('2026-11', 15, 5),
      { nowMs: december, isKnown: true, bytes: 1 },
      month('2026-12', 6),
    ],
    [
      'forgets nothing when the time before was wrong',
      month('2031-03', 10),
      { nowMs: november, isKnown: true, bytes: 5 },
      month('2026-11', 15),
    ],
  ])('%s', (_what, before, moment, after) => {
    expect(countTraffic(before, moment)).toEqual(after)
  })

  it('ends at the first of the next, in UTC', () => {
    expect(endOfMonthMs(november)).toBe(december)
    expect(endOfMonthMs(Date.UTC(2026, 11, 31, 23, 59, 59))).toBe(Date.UTC(2027, 0, 1))
    expect(monthOf(december - 1)).toBe('2026-11')
  })

  it('never counts fewer bytes than came in it, whatever the clock does', () => {
    const moments = fc.record({
      nowMs: fc.integer({ min: Date.UTC(2026, 0, 1), max: Date.UTC(2027, 0, 1) }),
      isKnown: fc.boolean(),
      bytes: fc.nat(1_000),
    })
    fc.assert(
      fc.property(fc.array(moments, { minLength: 1, maxLength: 40 }), (all) => {
        let state: TrafficMonth | undefined
        for (const moment of all) state = countTraffic(state, moment)
        const last = all.at(-1)
        const inLastMonth = all.filter(({ nowMs, isKnown }) => isKnown && monthOf(nowMs) === monthOf(last?.nowMs ?? 0))
        const atLeast = last?.isKnown === true && isSteady(all) ? sum(inLastMonth) : (last?.bytes ?? 0)
        expect(state?.bytes).toBeGreaterThanOrEqual(atLeast)
        expect(state?.bytes).toBeLessThanOrEqual(sum(all))
      }),
    )
  })
})

describe('the meter', () => {
  it('goes on where the one before it was', async () => {
    await using folder = await tempFolder()
    const first = await openMeter(folder.path)
    first.counter.bytes += 5_000
    await first.meter.save()
    const second = await openMeter(folder.path)
    second.counter.bytes += 7
    expect(second.meter.status()).toMatchObject({ month: '2026-11', bytes: 5_007, state: 'ok' })
  })

  it('sets aside what it cannot read, and counts from then on', async () => {
    await using folder = await tempFolder()
    await writeFile(join(folder.path, 'traffic.json'), '{"version":1,"month":"20')
    const { meter, counter, log } = await openMeter(folder.path)
    counter.bytes += 3
    expect(meter.status().bytes).toBe(3)
    expect(log.messages('warn')).toEqual(['state file cannot be read and is set aside'])
  })

  it('has the count on disk every five minutes where there is a limit, and hourly where there is none', async () => {
    await using folder = await tempFolder()
    for (const [maxBytesPerMonth, everyMs] of [
      [megabyte, 300_000],
      [undefined, 3_600_000],
    ] as const) {
      const { meter, counter } = await openMeter(folder.path, { maxBytesPerMonth })
      counter.bytes += 9
      await using _ = running(meter.worker)
      await expect.poll(() => meter.worker.health().passes).toBe(1)
      const { nextPassMs = 0, lastPassMs = 0 } = meter.worker.health()
      expect(Math.round((nextPassMs - lastPassMs) / 1_000)).toBe(everyMs / 1_000)
      expect(JSON.parse(await readFile(join(folder.path, 'traffic.json'), 'utf8'))).toMatchObject({ month: '2026-11' })
    }
  })

  it('warns at four fifths, pauses at the limit until the month ends, and goes on in the next', async () => {
    await using folder = await tempFolder()
    const { meter, counter, clock, log } = await openMeter(folder.path, { maxBytesPerMonth: megabyte })
    await using _ = running(meter.worker)
    counter.bytes = megabyte * 0.8
    expect(meter.msUntilAllowed()).toBe(0)
    await expect.poll(() => log.messages('warn')).toEqual(['four fifths of the bytes of the month are used'])
    counter.bytes = megabyte
    expect(meter.msUntilAllowed()).toBe(december - november)
    expect(() => {
      meter.check()
    }).toThrow(TrafficPausedError)
    expect(meter.status()).toMatchObject({ state: 'paused', pausedUntilMs: december })
    await expect.poll(() => log.messages('warn').at(-1)).toContain('used up')
    const saved = async (): Promise<string> => await readFile(join(folder.path, 'traffic.json'), 'utf8')
    await expect.poll(saved).toContain(`"bytes":${megabyte}`)
    clock.nowMs = december
    expect(meter.msUntilAllowed()).toBe(0)
    expect(meter.status()).toMatchObject({ month: '2026-12', bytes: 0, state: 'ok' })
    await expect.poll(() => log.messages('info')).toEqual(['there are bytes to send again'])
  })

  it('stays paused over a restart, also while the time is not known yet', async () => {
    await using folder = await tempFolder()
    const first = await openMeter(folder.path, { maxBytesPerMonth: megabyte })
    first.counter.bytes = megabyte
    await first.meter.save()
    const second = await openMeter(folder.path, { maxBytesPerMonth: megabyte })
    second.clock.isKnown = false
    second.clock.nowMs = Date.UTC(2020, 0, 1)
    expect(second.meter.status().state).toBe('paused')
  })
})

async function openMeter(folder: string, options: Partial<TrafficMeterOptions> = {}) {
  const counter = { bytes: 0 }
  const clock = { nowMs: november, isKnown: true }
  const log = new RecordingLog()
  const meter = await TrafficMeter.open({
    folder,
    counter,
    clock: { now: () => clock.nowMs, isKnown: () => clock.isKnown },
    maxBytesPerMonth: undefined,
    log,
    ...options,
  })
  return { meter, counter, clock, log }
}

/** Whether the months that were told only went forward. */
function isSteady(moments: readonly { readonly nowMs: number; readonly isKnown: boolean }[]): boolean {
  const months = moments.filter(({ isKnown }) => isKnown).map(({ nowMs }) => monthOf(nowMs))
  return months.every((month, index) => month >= (months[index - 1] ?? ''))
}

function sum(moments: readonly { readonly bytes: number }[]): number {
  return moments.reduce((total, { bytes }) => total + bytes, 0)
}
