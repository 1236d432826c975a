import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { deviceNames } from '../../../agent/config/device-names.ts'
import { ConfigError } from '../../../agent/config/config-error.ts'
import { loadConfig, parseConfig } from '../../../agent/config/load-config.ts'
import { configDocument } from '../../support/config-document.ts'
import { signingKey } from '../../support/signed-manifest.ts'
import { tempFolder } from '../../support/temp-folder.ts'

type Json = Readonly<Record<string, unknown>>

function faultsOf(json: unknown): readonly string[] {
  try {
    parseConfig(json, 'config.json')
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path, message }) => `${path}: ${message}`)
    throw error
  }
  return []
}

/** The paths of the faults of the example with one section changed. */
function faultPathsWith(section: string, change: Json): readonly string[] {
  const example: Json = { ...configDocument() }
  const before = example[section]
  const changed = typeof before === 'object' ? { ...before, ...change } : change
  return faultsOf({ ...example, [section]: changed }).map((fault) => fault.slice(0, fault.indexOf(':')))
}

const minimal = (): Json => {
  const { device, identity, endpoints, role } = configDocument()
  return { device, identity, endpoints, role }
}

describe('accepted', () => {
  test('takes the example as it is', () => {
    const example = configDocument()
    expect(parseConfig(example, 'config.json')).toMatchObject(example)
  })

  test('needs device, identity, endpoints and role only, and fills in the rest', () => {
    expect(parseConfig(minimal(), 'config.json')).toMatchObject({
      endpoints: { dualStack: false, fips: false },
      artifacts: [],
      cameras: { refreshSeconds: 300, streams: [] },
      logs: {
        flushSeconds: 15,
        sources: [],
        level: 'info',
        compression: 'gzip',
        maxBacklogBytes: 1_073_741_824,
        maxBacklogHours: 312,
        minLevelWhenBehind: 'debug',
      },
      paths: { state: '/var/lib/panorama-agent', runtime: '/run/panorama-agent' },
    })
  })

  test('lets editors name their schema', () => {
    expect(faultsOf({ $schema: './agent.schema.json', ...configDocument() })).toEqual([])
  })

  test('fills in prefix and poll interval of an artifact', () => {
    const [artifact] = configDocument().artifacts
    const artifacts = [{ name: artifact?.['name'], accessPoint: artifact?.['accessPoint'] }]
    expect(parseConfig({ ...configDocument(), artifacts }, 'config.json').artifacts).toMatchObject([
      { prefix: '', pollSeconds: 300 },
    ])
  })

  test('takes trusted keys inline and by path, and no other text', async () => {
    const [artifact] = configDocument().artifacts
    const faultsWith = (...trustedKeys: string[]): readonly string[] =>
      faultsOf({ ...configDocument(), artifacts: [{ ...artifact, trustedKeys }] }).map(
        (fault) => fault.split(':')[0] ?? '',
      )
    const [ec, ed] = [await signingKey('ES256'), await signingKey('EdDSA')]
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' })
    expect(faultsWith(ec.publicPem, ed.publicPem, '/etc/panorama-agent/publisher.pem')).toEqual([])
    for (const wrong of [ec.privatePem, rsa, 'publisher.pem', '', `/${'x'.repeat(4096)}`]) {
      expect(faultsWith(wrong)).toEqual(['artifacts[0].trustedKeys[0]'])
    }
    expect(faultsWith(...Array.from({ length: 9 }, () => ec.publicPem))).toEqual(['artifacts[0].trustedKeys'])
  })

  test('fills in how the lines of a log source are read', () => {
    const source = { kind: 'file', path: '/a', multiLine: { firstLine: '^\\d{4}-' } }
    expect(parseConfig({ ...configDocument(), logs: { sources: [source] } }, 'config.json').logs.sources).toMatchObject(
      [
        {
          ...source,
          multiLine: { ...source.multiLine, maxLines: 500, waitSeconds: 2 },
          timestamps: 'auto',
          timeZone: 'local',
        },
      ],
    )
  })

  test.each([
    'https://s3.localhost:9443',
    'https://vpce-1.s3.us-west-2.vpce.amazonaws.com',
    'http://localhost:9000',
    'http://127.0.0.1:9000',
    'http://[::1]:9000',
    'http://s3.localhost:9000',
  ])('takes %s as a service endpoint', (s3) => {
    expect(faultPathsWith('endpoints', { s3 })).toEqual([])
  })
})

describe('faults', () => {
  test('names every missing section at once', () => {
    expect(faultsOf({})).toEqual([
      'device: is missing',
      'identity: is missing',
      'endpoints: is missing',
      'role: is missing',
    ])
  })

  test('names every fault of every section at once, each with its path', () => {
    const { device, artifacts, cameras } = configDocument()
    const faults = faultsOf({
      ...configDocument(),
      device: { ...device, region: 'Oregon', colour: 'red' },
      role: {},
      artifacts: [...artifacts, { ...artifacts[0], name: 'other', prefix: 'no-slash' }],
      cameras: { ...cameras, streams: [{ name: '../etc' }] },
    })
    expect(faults.map((fault) => fault.slice(0, fault.indexOf(':'))).sort()).toEqual([
      'artifacts[1].prefix',
      'cameras.streams[0].name',
      'cameras.streams[0].secretId',
      'device.colour',
      'device.region',
      'role.alias',
    ])
  })

  test.each([
    ['at the top', { unknown: 1 }, 'unknown: is not a known field'],
    [
      'in an entry',
      { logs: { sources: [{ kind: 'file', path: '/a', x: 1 }] } },
      'logs.sources[0].x: is not a known field',
    ],
  ])('refuses an unknown field %s', (_, change, fault) => {
    expect(faultsOf({ ...configDocument(), ...change })).toEqual([fault])
  })

  test.each(['(', '^(?=INFO)', '(a)\\1', 'a{1,900}', '', 'x'.repeat(513)])(
    'refuses %j as the pattern of a first line, and names it',
    (firstLine) => {
      const sources = [{ kind: 'file', path: '/a', multiLine: { firstLine } }]
      expect(faultPathsWith('logs', { sources })).toEqual(['logs.sources[0].multiLine.firstLine'])
    },
  )

  test.each([
    ['cameras', 'refreshSeconds', 30, 86_400],
    ['logs', 'flushSeconds', 1, 3_600],
    ['logs', 'maxBacklogHours', 1, 335],
  ])('keeps %s.%s between its floor and its ceiling', (section, field, floor, ceiling) => {
    expect(faultPathsWith(section, { [field]: floor })).toEqual([])
    expect(faultPathsWith(section, { [field]: ceiling })).toEqual([])
    for (const absurd of [0, -1, floor - 1, ceiling + 1, floor + 0.5, `${floor}`, null, NaN, Infinity]) {
      expect(faultPathsWith(section, { [field]: absurd })).toEqual([`${section}.${field}`])
    }
  })

  test.each([9, 86_401, 10.5, '300', null])('refuses to poll an artifact every %s seconds', (pollSeconds) => {
    const artifacts = [{ ...configDocument().artifacts[0], pollSeconds }]
    expect(faultsOf({ ...configDocument(), artifacts })).toHaveLength(1)
  })

  test('refuses two artifacts, and two cameras, of one name', () => {
    const { artifacts, cameras } = configDocument()
    const twice = (entries: readonly unknown[]): readonly unknown[] => [...entries, ...entries]
    expect(
      faultsOf({ ...configDocument(), artifacts: twice(artifacts), cameras: { streams: twice(cameras.streams) } }),
    ).toEqual([
      'artifacts[1].name: "people-counter" is there twice',
      'cameras.streams[1].name: "dock-3" is there twice',
    ])
  })

  test('completes the name of a unit as systemctl does', () => {
    const units = ['nginx', 'nginx.service', 'a.b', 'dev-sda1.device', 'getty@tty1', 'app.slice']
    const logs = { sources: units.slice(1).map((unit) => ({ kind: 'journal', unit })) }
    const sources = parseConfig({ ...configDocument(), logs }, 'config.json').logs.sources
    expect(sources.map((source) => (source.kind === 'journal' ? source.unit : undefined))).toEqual([
      'nginx.service',
      'a.b.service',
      'dev-sda1.device',
      'getty@tty1.service',
      'app.slice',
    ])
    expect(faultPathsWith('logs', { sources: units.map((unit) => ({ kind: 'journal', unit })) })).toEqual([
      'logs.sources[1].unit',
    ])
  })

  test.each([
    ['a name that is none', [{ kind: 'journal', unit: 'a b' }], 'logs.sources[0].unit'],
    ['a path for a name', [{ kind: 'journal', unit: '../x.service' }], 'logs.sources[0].unit'],
    ['the whole journal twice', [{ kind: 'journal' }, { kind: 'journal', stream: 'x' }], 'logs.sources[1].unit'],
    ['a stream by a unit that is not named', [{ kind: 'journal', stream: 'x-{unit}' }], 'logs.sources[0].stream'],
    ['a kind that is not there', [{ kind: 'syslog' }], 'logs.sources[0].kind'],
  ])('refuses %s as a source of logs', (_, sources, path) => {
    expect(faultPathsWith('logs', { sources })).toEqual([path])
  })

  test.each(['44', '', 'a b', 'a:b', '../x', 'a'.repeat(33), 44])('refuses %j as the group of a camera', (group) => {
    const streams = [{ ...configDocument().cameras.streams[0], group }]
    expect(faultsOf({ ...configDocument(), cameras: { streams } })).toHaveLength(1)
  })

  test.each(['video', 'systemd-journal', '_apt', 'www-data', 'a.b_C9'])(
    'takes %s as the group of a camera',
    (group) => {
      const streams = [{ ...configDocument().cameras.streams[0], group }]
      expect(faultsOf({ ...configDocument(), cameras: { streams } })).toEqual([])
    },
  )

  test('fills in how credentials of cameras come to their files', () => {
    const { cameras } = parseConfig(configDocument(), 'config.json')
    expect(cameras).toEqual({
      refreshSeconds: 300,
      whenUnreachable: 'wait',
      streams: [{ name: 'dock-3', secretId: 'panorama/shared/dock-3', probe: true }],
    })
  })

  test.each([
    ['whenUnreachable', 'never', 'swap'],
    ['ca', 'roots.pem', '/etc/panorama-agent/cameras.pem'],
    ['hook', '../x', 'restart-viewer'],
  ])('takes %s for all cameras and for one, and refuses %j in both places', (field, wrong, right) => {
    const streams = (value: string): unknown => [{ ...configDocument().cameras.streams[0], [field]: value }]
    expect(faultPathsWith('cameras', { [field]: right, streams: streams(right) })).toEqual([])
    expect(faultPathsWith('cameras', { [field]: wrong, streams: streams(wrong) })).toEqual([
      `cameras.${field}`,
      `cameras.streams[0].${field}`,
    ])
  })

  test.each(['yes', 1, null])('refuses %j as whether a camera is probed', (probe) => {
    const streams = [{ ...configDocument().cameras.streams[0], probe }]
    expect(faultPathsWith('cameras', { streams })).toEqual(['cameras.streams[0].probe'])
  })

  test.each([
    'http://example.com',
    'http://127.0.0.1.example.com',
    'http://localhost.example.com',
    'http://notlocalhost',
    'http://10.0.0.1:9000',
    'ftp://localhost',
    'localhost:9000',
    'file:///etc/passwd',
    '',
  ])('refuses %s as a service endpoint', (s3) => {
    expect(new Set(faultPathsWith('endpoints', { s3 }))).toEqual(new Set(['endpoints.s3']))
  })

  test.each(['https://c1.example.com', 'c1.example.com/path', 'c1.example.com:', 'c1.example.com:99999', ''])(
    'refuses %s as the credentials endpoint',
    (credentials) => {
      expect(faultPathsWith('endpoints', { credentials })).toEqual(['endpoints.credentials'])
    },
  )

  test.each(['../x', '.hidden', 'a/b', '', 'a'.repeat(65), 'a b', 'a\n'])(
    'refuses %j as the name of a file',
    (name) => {
      expect(faultPathsWith('cameras', { streams: [{ name, secretId: 's' }] })).toEqual(['cameras.streams[0].name'])
    },
  )

  test.each([['relative/path'], [''], ['/with\0null']])('refuses %j as a path', (state) => {
    expect(faultPathsWith('paths', { state })).toEqual(['paths.state'])
  })

  test('answers any JSON with a configuration or a ConfigError', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        faultsOf(json)
      }),
    )
  })

  test('answers the example with anything in any place with a configuration or a ConfigError', () => {
    const example: Json = { ...configDocument() }
    const section = fc.constantFrom(...Object.keys(example))
    const field = fc.oneof(
      fc.constantFrom('name', 'region', 's3', 'streams', 'sources', 'state', '__proto__'),
      fc.string(),
    )
    fc.assert(
      fc.property(section, field, fc.jsonValue(), (chosen, name, value) => {
        faultsOf({ ...example, [chosen]: value })
        faultPathsWith(chosen, Object.fromEntries([[name, value]]))
      }),
    )
  })
})

describe('files', () => {
  test('loads a file', async () => {
    await using folder = await tempFolder()
    const file = join(folder.path, 'config.json')
    await writeFile(file, JSON.stringify(configDocument()))
    expect((await loadConfig(file)).device.name).toBe('dock-1')
  })

  test('says that a file is missing, and where it was expected', async () => {
    await using folder = await tempFolder()
    const file = join(folder.path, 'config.json')
    await expect(loadConfig(file)).rejects.toThrow(
      `${file} has 1 fault:\n  (whole file): is not there; there is an example`,
    )
  })

  test('names a byte order mark, which nobody sees', async () => {
    await using folder = await tempFolder()
    const file = join(folder.path, 'config.json')
    await writeFile(file, '\ufeff{}')
    await expect(loadConfig(file)).rejects.toThrow('is not JSON: it begins with a byte order mark (BOM)')
  })

  test.each(['', '{', '[1,]', '\ufeff{}'])('says that a file with %j is not JSON', async (text) => {
    await using folder = await tempFolder()
    const file = join(folder.path, 'config.json')
    await writeFile(file, text)
    await expect(loadConfig(file)).rejects.toThrow(/\(whole file\): is not JSON/)
  })

  test('shows every fault and what to do in one message', () => {
    const error = new ConfigError('config.json', [
      { path: 'a', message: 'is missing' },
      { path: 'b[0]', message: 'is wrong' },
    ])
    expect(error.message).toBe('config.json has 2 faults:\n  a: is missing\n  b[0]: is wrong')
    expect(error).toMatchObject({ retryable: false, hint: expect.stringContaining('mend the file') as string })
  })
})

describe('device names', () => {
  const region = 'us-west-2'

  test('are those of the configuration', () => {
    expect(deviceNames({ thingName: 'thing', id: 'device-1', name: 'dock-1', region })).toEqual({
      id: 'device-1',
      name: 'dock-1',
    })
  })

  test('default to the thing name with - for what may not stand in a log group', () => {
    expect(deviceNames({ thingName: 'site:dock_1', region })).toEqual({ id: 'site-dock_1', name: 'site-dock_1' })
  })

  test('are names that the schema itself takes, for every thing name', () => {
    const thingNames = fc.stringMatching(/^[A-Za-z0-9:_-]{1,128}$/)
    fc.assert(
      fc.property(thingNames, (thingName) => {
        expect(faultPathsWith('device', { ...deviceNames({ thingName, region }) })).toEqual([])
      }),
    )
  })
})

test('takes a file that cannot be read at the moment for no fault of the configuration', async () => {
  const error = await loadConfig('/proc/self/mem').catch((thrown: unknown) => thrown) // nothing is mapped at 0: EIO
  expect(error).not.toBeInstanceOf(ConfigError)
  expect(error).toMatchObject({ retryable: true, cause: { code: 'EIO' } })
})
