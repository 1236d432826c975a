import { describe, expect, it } from 'vitest'

import type { Config } from '../../../agent/config/config-schema.ts'
import { configValues, diffConfigs, originOf, shownValue } from '../../../agent/config/config-values.ts'
import { parseConfig } from '../../../agent/config/load-config.ts'
import type { JsonObject } from '../../../agent/lib/json-object.ts'
import { mergePatch } from '../../../agent/lib/merge-patch.ts'
import { configDocument } from '../../support/config-document.ts'

const base = configDocument()

function patched(overlay: JsonObject): Config {
  return parseConfig(mergePatch(base, overlay), 'config.json')
}

describe('the difference of two configurations', () => {
  it('names each value that changes, with what it was and what it becomes', () => {
    const overlay = { logs: { flushSeconds: 5 }, cameras: { streams: [] }, downloads: { maxBytesPerSecond: 1_000_000 } }
    expect(diffConfigs(patched({}), patched(overlay))).toEqual({
      changes: expect.arrayContaining([
        { path: 'logs.flushSeconds', from: 15, to: 5 },
        { path: 'cameras.streams[0].name', from: 'dock-3' },
        { path: 'cameras.streams', to: [] },
        { path: 'downloads.maxBytesPerSecond', to: 1_000_000 },
      ]) as unknown[],
      omitted: 0,
    })
  })

  it('is bounded, and says how much it leaves out', () => {
    const streams = Array.from({ length: 200 }, (_, index) => ({ name: `c${index}`, secretId: 's' }))
    const { changes, omitted } = diffConfigs(patched({}), patched({ cameras: { streams } }))
    expect(changes).toHaveLength(100)
    expect(omitted).toBeGreaterThan(100)
  })

  it('is empty for the same configuration', () => {
    expect(diffConfigs(patched({}), patched({}))).toEqual({ changes: [], omitted: 0 })
  })

  it('shows no value whose name is that of a secret, and no user info', () => {
    expect(shownValue({ path: ['camera', 'password'], value: 'hunter2' })).toBe('[redacted]')
    expect(shownValue({ path: ['camera', 'passwords', 0], value: 'hunter2' })).toBe('[redacted]')
    expect(shownValue({ path: ['endpoints', 's3'], value: 'https://user:hunter2@host/' })).toBe(
      'https://[redacted]@host/',
    )
    expect(shownValue({ path: ['endpoints', 'credentials'], value: 'host' })).toBe('host')
    expect(shownValue({ path: ['identity', 'privateKey'], value: '/a/path' })).toBe('/a/path')
  })

  it('cuts long texts', () => {
    expect(shownValue({ path: ['a'], value: 'x'.repeat(1_000) })).toBe(`${'x'.repeat(200)}...`)
  })
})

describe('where a value is from', () => {
  it('is the overlay, the base file, or a default, for every value', () => {
    const overlay = { logs: { level: 'debug' }, artifacts: [{ ...base.artifacts[0], keepReleases: 3 }], metrics: null }
    const document = mergePatch(base, overlay)
    const values = configValues(parseConfig(document, 'config.json'))
    const origins = new Map(values.map(({ path }) => [path.join('.'), originOf(path, { document, overlay })]))
    expect(Object.fromEntries(origins)).toMatchObject({
      'logs.level': 'overlay',
      'logs.flushSeconds': 'base',
      'logs.compression': 'default',
      'artifacts.0.keepReleases': 'overlay',
      'artifacts.0.trustedKeys': 'default',
      'metrics.enabled': 'default',
      'device.region': 'base',
    })
  })
})
