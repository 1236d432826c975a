import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { expandTarget, sourcePatterns, type SourcePattern } from '../../../agent/logs/log-targets.ts'

const device = { id: 'device-1', name: 'dock-1', thing: 'site:dock_1' }
const fileDefaults = {
  group: '/aws/panorama/devices/{device.id}',
  stream: '{file}',
  timestamps: 'auto',
  timeZone: 'local',
} as const
const applicationDefaults = { ...fileDefaults, group: `${fileDefaults.group}/applications/{application}` }

function fileSource(change: { group?: string; stream?: string } = {}): SourcePattern {
  return onlyOne(sourcePatterns([{ kind: 'file', path: '/var/log/*/*', ...fileDefaults, ...change }], device))
}

function applicationsSource(folder = '/opt/logs'): SourcePattern {
  return onlyOne(sourcePatterns([{ kind: 'applications', folder, ...applicationDefaults }], device))
}

function onlyOne(patterns: readonly SourcePattern[]): SourcePattern {
  const [pattern] = patterns
  if (pattern === undefined || patterns.length > 1) throw new Error('there is not exactly one pattern')
  return pattern
}

describe('a file', () => {
  test('goes to the group of the device and a stream named like it', () => {
    expect(fileSource().targetOf('/var/log/app/people-counter.log')).toEqual({
      group: '/aws/panorama/devices/device-1',
      stream: 'people-counter',
    })
  })

  test('goes where the templates say', () => {
    const source = fileSource({ group: '/mine/{thing}/{folder}', stream: '{device.name} {device.id} {file}' })
    expect(source.targetOf('/var/log/app/a.b.log')).toEqual({
      group: '/mine/site-dock_1/app',
      stream: 'dock-1 device-1 a.b',
    })
  })

  test.each([
    ['app.log.1', 'app'],
    ['app.log-20260101', 'app'],
    ['app.log.2026-01-01T00:00', 'app'],
    ['app.log.old', 'app'],
    ['app-2026.log', 'app-2026'],
    ['app.2026.log', 'app.2026'],
    ['syslog', 'syslog'],
    ['syslog.1', 'syslog'],
    ['.hidden', '.hidden'],
  ])('named %s goes to the stream %s', (name, stream) => {
    expect(fileSource().targetOf(`/var/log/app/${name}`).stream).toBe(stream)
  })
})

describe('an application', () => {
  test('is a folder: each file in it goes to a stream of its own in the group of the application', () => {
    const source = applicationsSource('/opt/logs/')
    expect(source.pattern).toBe('/opt/logs/*/*')
    expect(source.targetOf('/opt/logs/applicationInstance-1/console_output.log')).toEqual({
      group: '/aws/panorama/devices/device-1/applications/applicationInstance-1',
      stream: 'console_output',
    })
  })

  test('has no source in what rotation made of another one, and has one in all that may be something else', () => {
    const names = ['a.log', 'a.log.1', 'a.log-20260101', 'a.log.old', 'a-1.log', 'a1.log', 'b.log.1', 'node', 'node-2']
    const chosen = applicationsSource().choose(names.map((name) => `/opt/logs/a/${name}`))
    expect(chosen.map((path) => path.slice('/opt/logs/a/'.length))).toEqual([
      'a.log',
      'a-1.log',
      'a1.log',
      'b.log.1',
      'node',
      'node-2',
    ])
    expect(applicationsSource().choose(['/opt/logs/a/a.log', '/opt/logs/b/a.log.1'])).toHaveLength(2)
  })
})

describe('names', () => {
  const templates = { group: '{a}', stream: '{a}' }

  test('have - for what may not stand in them', () => {
    expect(expandTarget(templates, { a: 'a b:c*d/é\n\u2028\0' })).toEqual({
      group: 'a-b-c-d/----',
      stream: 'a b-c-d/é---',
    })
  })

  test('have - for a value that is empty or not there', () => {
    expect(expandTarget({ group: '{a}', stream: 'x{b}' }, { a: '' })).toEqual({ group: '-', stream: 'x-' })
  })

  test.each(['aws/x', 'AWS/x'])('do not begin like %s, which is for AWS itself', (a) => {
    expect(expandTarget(templates, { a }).group.toLowerCase()).toBe('aws-x')
    expect(expandTarget(templates, { a }).stream).toBe(a)
  })

  test('that are too long are cut, and stay different where the values are', () => {
    const start = 'x'.repeat(600)
    const [one, other] = [expandTarget(templates, { a: `${start}1` }), expandTarget(templates, { a: `${start}2` })]
    expect(one.group).toHaveLength(512)
    expect(one.group.slice(0, 503)).toBe('x'.repeat(503))
    expect(one.group).not.toBe(other.group)
    expect(one.stream).not.toBe(other.stream)
    expect(expandTarget(templates, { a: `${start}1` })).toEqual(one)
  })

  test('are cut between characters', () => {
    const { stream } = expandTarget(templates, { a: `${'x'.repeat(502)}${'\u{1F4F7}'.repeat(9)}` })
    expect(stream).toMatch(/^x{502}-[0-9a-f]{8}$/)
  })

  test('are names that CloudWatch takes, whatever the values are', () => {
    const value = fc
      .tuple(fc.string({ unit: 'binary', maxLength: 9 }), fc.nat(80))
      .map(([text, times]) => text.repeat(times))
    fc.assert(
      fc.property(value, fc.stringMatching(/^[a-z/]{0,9}$/), (a, text) => {
        const { group, stream } = expandTarget({ group: `${text}{a}`, stream: `{a}${text}` }, { a })
        expect(group).toMatch(/^(?!aws\/)[.\-_/#A-Za-z0-9]{1,512}$/i)
        expect(stream).toMatch(/^[^:*]{1,512}$/s)
        expect(stream).not.toMatch(/[\p{C}\p{Zl}\p{Zp}]/u)
      }),
    )
  })
})
