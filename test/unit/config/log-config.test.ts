import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { configWarnings } from '../../../agent/config/config-warnings.ts'
import { ConfigError } from '../../../agent/config/config-error.ts'
import { parseConfig } from '../../../agent/config/load-config.ts'
import { configDocument } from '../../support/config-document.ts'

type Json = Readonly<Record<string, unknown>>

const file = { kind: 'file', path: '/var/log/app/*.log' }
const applications = { kind: 'applications', folder: '/opt/aws/panorama/logs' }

function faultsOf(...sources: readonly unknown[]): readonly string[] {
  try {
    parseConfig({ ...configDocument(), logs: { sources } }, 'config.json')
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path, message }) => `${path}: ${message}`)
    throw error
  }
  return []
}

describe('a log source', () => {
  test('leads by default to the group of the device, or of the application, and to a stream named like the file', () => {
    const { logs } = parseConfig({ ...configDocument(), logs: { sources: [file, applications] } }, 'config.json')
    expect(logs.sources).toMatchObject([
      { ...file, group: '/aws/panorama/devices/{device.id}', stream: '{file}' },
      {
        ...applications,
        group: '/aws/panorama/devices/{device.id}/applications/{application}',
        stream: '{file}',
      },
    ])
  })

  test.each([
    [file, ['device.id', 'device.name', 'thing', 'file', 'folder']],
    [applications, ['device.id', 'device.name', 'thing', 'application', 'file', 'folder']],
  ])('of %j takes every placeholder that it has', (source, names) => {
    const template = names.map((name) => `{${name}}`).join('/')
    expect(faultsOf({ ...source, group: `/aws/panorama/devices/${template}`, stream: template })).toEqual([])
  })

  test.each<[string, Json, string]>([
    [
      'a placeholder that nobody knows',
      { stream: '{flie}' },
      'logs.sources[0].stream: {flie} is not a known placeholder; there are {device.id} {device.name} {thing} {file} {folder}',
    ],
    [
      'a placeholder of another kind of source',
      { group: '/x/{application}' },
      'logs.sources[0].group: {application} is nothing that a source of kind "file" has; there are {device.id} {device.name} {thing} {file} {folder}',
    ],
    [
      'half of a placeholder',
      { stream: '{file' },
      'logs.sources[0].stream: has a brace that belongs to no placeholder; there are {device.id} {device.name} {thing} {file} {folder}',
    ],
    [
      'a character that no group has',
      { group: '/x/a b' },
      'logs.sources[0].group: " " may not stand in the name of a log group: A-Z a-z 0-9 . - _ / #',
    ],
    [
      'a character that no stream has',
      { stream: 'a:b' },
      'logs.sources[0].stream: ":" may not stand in the name of a log stream: printable characters but : and *',
    ],
    [
      'a control character',
      { stream: 'a\nb' },
      'logs.sources[0].stream: "\\n" may not stand in the name of a log stream: printable characters but : and *',
    ],
    [
      "AWS's own prefix",
      { group: 'aws/panorama' },
      'logs.sources[0].group: must not begin with aws/, which is for AWS itself',
    ],
    ['an empty name', { group: '' }, 'logs.sources[0].group: must not be empty'],
    ['a long name', { stream: 'x'.repeat(513) }, 'logs.sources[0].stream: must have at most 512 characters'],
  ])('with %s is refused', (_, change, fault) => {
    expect(faultsOf({ ...file, ...change })).toEqual([fault])
  })

  test('has every fault of its templates named at once, each with its path', () => {
    const faults = faultsOf(file, { ...applications, group: '/{unit}/{x} ', stream: '*{unit}' })
    expect(faults.map((fault) => fault.slice(0, fault.indexOf(':')))).toEqual([
      'logs.sources[1].group',
      'logs.sources[1].group',
      'logs.sources[1].group',
      'logs.sources[1].stream',
      'logs.sources[1].stream',
    ])
  })

  test.each(['relative', '/with/*', '/wit?', '', '/with\0null'])('of applications is in no folder %j', (folder) => {
    expect(faultsOf({ kind: 'applications', folder })).toEqual([
      'logs.sources[0].folder: must be an absolute path without * and ?',
    ])
  })

  test.each([{ kind: 'files', path: '/a' }, { path: '/a' }])('like %j is told which kinds there are', (source) => {
    expect(faultsOf(source)).toEqual(['logs.sources[0].kind: must be one of "file", "applications", "journal"'])
  })

  test('has templates that are taken or refused, whatever they are', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (text) => {
        faultsOf({ ...file, group: text, stream: `{${text}}` })
      }),
    )
  })
})

describe('a log group outside of what the policy covers', () => {
  const warningsOf = (...groups: readonly string[]): readonly string[] => {
    const sources = groups.map((group) => ({ ...file, group }))
    const device = { ...configDocument().device, id: 'panorama/devices/x' }
    const config = parseConfig({ ...configDocument(), device, logs: { sources } }, 'config.json')
    return configWarnings(config).map(({ path, message }) => `${path}: ${message}`)
  }

  test('is warned of, with its path and what to do', () => {
    expect(warningsOf('/aws/panorama/devices/{file}', '/mine/{device.name}/{file}')).toEqual([
      'logs.sources[1].group: log groups that begin with "/mine/dock-1/" are not covered by ' +
        'config/cloud/appliance-role-policy.json: allow logs:CreateLogGroup, CreateLogStream and PutLogEvents on them, ' +
        'or begin with /aws/panorama/devices/',
    ])
  })

  test.each(['/aws/panorama/devices/x', '/aws/panorama_device{file}', '/aws/panorama_devices', '/aws/{device.id}/x'])(
    'is not one that begins like %s',
    (group) => {
      expect(warningsOf(group)).toEqual([])
    },
  )

  test.each([
    '{file}',
    '{file}/aws/panorama/devices/x',
    '/mine/aws/panorama/devices/x',
    '/aws/panorama/device',
    '/aws/panorama/devices',
    '/aws/{file}',
    '#aws/panorama/devices/x',
  ])('is one like %s', (group) => {
    expect(warningsOf(group)).toHaveLength(1)
  })
})

describe('metrics', () => {
  const parsed = (metrics: Json): unknown => parseConfig({ ...configDocument(), metrics }, 'config.json').metrics

  test('are on, once a minute, DeviceActive alone, unless the configuration says otherwise', () => {
    expect(parseConfig(configDocument(), 'config.json').metrics).toEqual({
      enabled: true,
      intervalSeconds: 60,
      publish: [],
    })
    expect(parsed({ enabled: false, intervalSeconds: 3600, publish: ['LogLagSeconds'] })).toEqual({
      enabled: false,
      intervalSeconds: 3600,
      publish: ['LogLagSeconds'],
    })
  })

  test.each([29, 3601, 60.5, '60', null])('are not written every %j seconds', (intervalSeconds) => {
    expect(() => parsed({ intervalSeconds })).toThrow('metrics.intervalSeconds: ')
  })

  test('are not published under a name that is not there, nor twice', () => {
    expect(() => parsed({ publish: ['LogLag'] })).toThrow(/metrics\.publish\[0\]: .*"LogLagSeconds"/)
    expect(() => parsed({ publish: ['Generation', 'Generation'] })).toThrow(
      'metrics.publish[1]: "Generation" is there twice',
    )
  })
})
