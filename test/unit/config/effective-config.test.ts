import { describe, expect, it } from 'vitest'

import { effectiveConfig, isSetBy, overlayFaults } from '../../../agent/config/effective-config.ts'
import type { JsonObject } from '../../../agent/lib/json-object.ts'
import { configDocument } from '../../support/config-document.ts'

const base = configDocument()

function faultsOf(
  overlay: JsonObject,
  number?: number,
): readonly { readonly path: string; readonly message: string }[] {
  const effective = effectiveConfig(base, { overlay, number })
  return effective.kind === 'valid' ? [] : effective.faults
}

describe('the effective configuration', () => {
  it('is the base file with the overlay merged over it, and every default', () => {
    const effective = effectiveConfig(base, { overlay: { logs: { flushSeconds: 5 }, cameras: { streams: [] } } })
    if (effective.kind === 'invalid') throw new Error(JSON.stringify(effective.faults))
    expect(effective.config.logs).toMatchObject({ flushSeconds: 5, level: 'info' })
    expect(effective.config.logs.sources).toHaveLength(1)
    expect(effective.config.cameras).toMatchObject({ refreshSeconds: 300, streams: [] })
  })

  it('names for each fault whether its value is from the base file or the overlay', () => {
    const broken = { ...base, role: { alias: 'no spaces here' } }
    const effective = effectiveConfig(broken, { number: 7, overlay: { logs: { flushSeconds: -1 }, artifacts: [{}] } })
    expect(effective.kind === 'invalid' && effective.faults).toEqual([
      { path: 'role.alias', message: expect.stringContaining('(from the base file)') as string },
      { path: 'artifacts[0].name', message: 'is missing (from configuration version 7)' },
      { path: 'artifacts[0].accessPoint', message: 'is missing (from configuration version 7)' },
      { path: 'logs.flushSeconds', message: expect.stringContaining('(from configuration version 7)') as string },
    ])
  })

  it('has a fault where the overlay removes what has to be there', () => {
    expect(faultsOf({ role: null })).toEqual([{ path: 'role', message: 'is missing (from the change)' }])
  })

  it.each([{ paths: { state: '/elsewhere' } }, { paths: null }, { $schema: './agent.schema.json' }])(
    'never takes %j from an overlay',
    (overlay) => {
      expect(faultsOf(overlay)).toEqual([
        { path: Object.keys(overlay)[0], message: 'can be set in the base file of the appliance only' },
      ])
    },
  )

  it('takes no overlay with a field __proto__, one nested without end, or one that is huge', () => {
    const deep = JSON.parse(`${'{"a":'.repeat(100)}1${'}'.repeat(100)}`) as JsonObject
    const proto = JSON.parse('{"logs":{"__proto__":{"level":"debug"}}}') as JsonObject
    expect(overlayFaults(proto)).toEqual([{ path: 'logs.__proto__', message: expect.any(String) as string }])
    expect(overlayFaults(deep)).toHaveLength(1)
    expect(overlayFaults({ device: { name: 'x'.repeat(300_000) } })).toHaveLength(1)
  })
})

describe('an overlay', () => {
  it.each([
    [['logs', 'level'], { logs: { level: 'debug' } }, true],
    [['logs', 'level'], { logs: { flushSeconds: 5 } }, false],
    [['logs', 'level'], { logs: null }, true],
    [['artifacts', 0, 'name'], { artifacts: [] }, true],
    [['artifacts', 0, 'name'], {}, false],
    [['toString'], {}, false],
  ])('decides what is at %j when it is %j: %s', (path, overlay, isSet) => {
    expect(isSetBy(overlay, path)).toBe(isSet)
  })
})
