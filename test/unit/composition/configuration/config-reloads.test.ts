import { setImmediate as turn } from 'node:timers/promises'

import { expect, test } from 'vitest'

import { ConfigReloads } from '../../../../agent/composition/configuration/config-reloads.ts'
import type { Config } from '../../../../agent/config/config-schema.ts'
import { parseConfig } from '../../../../agent/config/load-config.ts'
import { configDocument } from '../../../support/config-document.ts'
import { RecordingLog } from '../../../support/recording-log.ts'

const valid = parseConfig(configDocument(), 'config.json')

/** Reloads whose file holds what `contents` says, one after the other; faults are thrown. */
function reloadsOf(contents: readonly (Config | Error)[]) {
  const told: string[] = []
  const log = new RecordingLog()
  const left = [...contents]
  const reloads = new ConfigReloads({
    load: async () => {
      told.push('load')
      await turn()
      const content = left.shift()
      if (content === undefined || content instanceof Error) throw content ?? new Error('nothing is left')
      return content
    },
    service: { reloading: () => told.push('RELOADING'), kept: () => told.push('READY') },
    log,
  })
  return { reloads, told, log }
}

const never = new AbortController().signal

test('waits for a request, and answers with the configuration', async () => {
  const { reloads, told } = reloadsOf([valid])
  const next = reloads.next(never)
  await turn()
  expect(told).toEqual([])
  reloads.request()
  expect(await next).toBe(valid)
  expect(told).toEqual(['RELOADING', 'load'])
})

test('serves a request that came before anybody waited', async () => {
  const { reloads } = reloadsOf([valid])
  reloads.request()
  expect(await reloads.next(never)).toBe(valid)
})

test('reports a fault, says that the reload is over, and waits for the next request', async () => {
  const { reloads, told, log } = reloadsOf([new Error('role.alias is missing'), valid])
  reloads.request()
  const next = reloads.next(never)
  while (!told.includes('READY')) await turn()
  expect(log.entries).toMatchObject([{ level: 'error', fields: { error: { message: 'role.alias is missing' } } }])
  reloads.request()
  expect(await next).toBe(valid)
})

test('serves requests that come in a burst as one, and one that comes while it reads once more', async () => {
  const { reloads, told } = reloadsOf([valid, valid])
  for (let count = 0; count < 5; count += 1) reloads.request()
  const first = reloads.next(never)
  while (!told.includes('load')) await turn()
  reloads.request()
  await first
  expect(await reloads.next(never)).toBe(valid)
  expect(told.filter((what) => what === 'load')).toHaveLength(2)
})

test('ends waiting when the signal aborts', async () => {
  const { reloads } = reloadsOf([])
  const stop = new AbortController()
  const next = reloads.next(stop.signal)
  stop.abort(new Error('stopping'))
  await expect(next).rejects.toThrow('stopping')
})

test('tells the next session what was being read when the one before ended', async () => {
  const { reloads, told } = reloadsOf([valid])
  const end = new AbortController()
  reloads.request()
  const next = reloads.next(end.signal)
  while (!told.includes('load')) await Promise.resolve()
  end.abort(new Error('the session is renewed'))
  await expect(next).rejects.toThrow('the session is renewed')
  expect(await reloads.next(AbortSignal.timeout(1_000))).toBe(valid)
  expect(told.filter((what) => what === 'load')).toHaveLength(1)
})

test('serves a request that came as the session ended in the next one', async () => {
  const { reloads } = reloadsOf([valid])
  const end = new AbortController()
  const next = reloads.next(end.signal)
  reloads.request()
  end.abort(new Error('the session is renewed'))
  await expect(next).rejects.toThrow('the session is renewed')
  expect(await reloads.next(AbortSignal.timeout(1_000))).toBe(valid)
})
