import { describe, expect, test } from 'vitest'

import { configWarnings } from '../../../agent/config/config-warnings.ts'
import { ConfigError } from '../../../agent/config/config-error.ts'
import { parseConfig } from '../../../agent/config/load-config.ts'
import { configDocument } from '../../support/config-document.ts'

const counter = { name: 'people-counter', roleAlias: 'people-counter', group: 'counter' }
const gate = { name: 'gate', roleAlias: 'gate-role', group: 'gate' }

function faultsOf(change: Readonly<Record<string, unknown>>): readonly string[] {
  try {
    parseConfig({ ...configDocument(), ...change }, 'config.json')
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path, message }) => `${path}: ${message}`)
    throw error
  }
  return []
}

function warningsOf(change: Readonly<Record<string, unknown>>): readonly string[] {
  const warnings = configWarnings(parseConfig({ ...configDocument(), ...change }, 'config.json'))
  return warnings.map(({ path, message }) => `${path}: ${message}`)
}

describe('the configuration of applications', () => {
  test('has none by default, and a port', () => {
    const { applications, applicationCredentials } = parseConfig(configDocument(), 'config.json')
    expect(applications).toEqual([])
    expect(applicationCredentials).toEqual({ port: 9912 })
  })

  test('takes applications with a role alias and a group of their own, without a warning', () => {
    expect(faultsOf({ applications: [counter, gate], applicationCredentials: { port: 1024 } })).toEqual([])
    expect(warningsOf({ applications: [counter, gate] })).toEqual([])
  })

  test('refuses the role alias of the appliance', () => {
    const applications = [counter, { ...gate, roleAlias: 'panorama-appliance' }]
    expect(faultsOf({ applications })).toEqual([
      expect.stringMatching(/^applications\[1\]\.roleAlias: is the role alias of the appliance: /),
    ])
  })

  test('refuses the role alias of another application', () => {
    expect(faultsOf({ applications: [counter, { ...gate, roleAlias: counter.roleAlias }] })).toEqual([
      expect.stringMatching(/^applications\[1\]\.roleAlias: is the role alias of the application "people-counter": /),
    ])
  })

  test.each([
    ['applications[0].name', { ...counter, name: '../up' }],
    ['applications[0].roleAlias', { ...counter, roleAlias: 'no spaces here' }],
    ['applications[0].group', { ...counter, group: '44' }],
    ['applications[0].group', { name: 'a', roleAlias: 'b' }],
    ['applications[0].alias', { ...counter, alias: 'x' }],
  ])('finds the fault at %s', (path, application) => {
    expect(faultsOf({ applications: [application] }).map((fault) => fault.split(': ')[0])).toEqual([path])
  })

  test('refuses a name that is there twice', () => {
    const twice = { ...gate, name: counter.name }
    expect(faultsOf({ applications: [counter, twice] })).toEqual([
      'applications[1].name: "people-counter" is there twice',
    ])
  })

  test.each([0, 80, 1023, 65_536, 9912.5, '9912'])('takes no %j for a port', (port) => {
    expect(faultsOf({ applicationCredentials: { port } })).toEqual([
      expect.stringMatching(/^applicationCredentials\.port: /),
    ])
  })

  test.each(['/run/with space', '/run/with\nline', '/run/with"quote', '/run/with$dollar'])(
    'refuses the runtime folder %j where applications are, because it stands in aws.env',
    (runtime) => {
      expect(faultsOf({ paths: { runtime } })).toEqual([])
      expect(faultsOf({ paths: { runtime }, applications: [counter] })).toEqual([
        expect.stringMatching(/^paths\.runtime: must be made of /),
      ])
    },
  )

  test('warns of a group that two applications share', () => {
    expect(warningsOf({ applications: [counter, { ...gate, group: counter.group }] })).toEqual([
      expect.stringMatching(/^applications\[1\]\.group: is the group of the application "people-counter" too: /),
    ])
  })

  test('warns of a port that the system may give to a connection that goes out', () => {
    const applicationCredentials = { port: 40_000 }
    expect(warningsOf({ applicationCredentials })).toEqual([])
    expect(warningsOf({ applicationCredentials, applications: [counter] })).toEqual([
      expect.stringMatching(/^applicationCredentials\.port: /),
    ])
  })
})
