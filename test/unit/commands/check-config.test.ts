import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import { expect, test } from 'vitest'

import { checkConfig } from '../../../agent/commands/check-config.ts'
import { digestOf } from '../../../agent/config/overlay-version.ts'
import type { JsonObject } from '../../../agent/lib/json-object.ts'
import { configDocument } from '../../support/config-document.ts'
import { tempFolder } from '../../support/temp-folder.ts'

test('config check warns of a log group that the policy does not cover, and finds no fault in it', async () => {
  await using folder = await tempFolder()
  const configFile = join(folder.path, 'config.json')
  const sources = [{ kind: 'file', path: '/a', group: '/mine' }]
  await writeFile(configFile, JSON.stringify({ ...configDocument(), logs: { sources } }))
  const stdout = new PassThrough({ encoding: 'utf8' })

  await checkConfig({ configFile }, { stdout })

  expect(String(stdout.read()).split('\n')).toEqual([
    expect.stringMatching(/^warning: logs\.sources\[0\]\.group: log groups that begin with "\/mine" are not covered/),
    `${configFile} has no fault`,
    '',
  ])
})

test('config check lays the overlay in force over the file, and says whose a fault is', async () => {
  await using folder = await tempFolder()
  const configFile = join(folder.path, 'config.json')
  const state = join(folder.path, 'state')
  const document = { ...configDocument(), paths: { state, runtime: join(folder.path, 'run') } }
  await writeFile(configFile, JSON.stringify(document))
  await mkdir(join(state, 'config'), { recursive: true })
  await writeVersion(state, 4, { endpoints: { fips: true } })
  const stdout = new PassThrough({ encoding: 'utf8' })
  await checkConfig({ configFile }, { stdout })
  expect(String(stdout.read())).toBe(`${configFile}, with configuration version 4 over it, has no fault\n`)

  const endpoints = { ...document.endpoints, s3: 'https://s3.example' }
  await writeFile(configFile, JSON.stringify({ ...document, endpoints }))
  await expect(checkConfig({ configFile }, { stdout })).rejects.toMatchObject({
    faults: [{ path: 'endpoints.s3', message: 'cannot stand beside dualStack or fips (from the base file)' }],
  })
})

test('config check warns of versions that it cannot read, and leaves them alone', async () => {
  await using folder = await tempFolder()
  const configFile = join(folder.path, 'config.json')
  const state = join(folder.path, 'state')
  await writeFile(configFile, JSON.stringify({ ...configDocument(), paths: { state } }))
  await mkdir(join(state, 'config'), { recursive: true })
  await writeFile(join(state, 'config', '2.json'), 'x')
  await writeVersion(state, 1, { logs: { flushSeconds: 5 } })
  const stdout = new PassThrough({ encoding: 'utf8' })
  await checkConfig({ configFile }, { stdout })
  expect(String(stdout.read()).split('\n')).toEqual([
    expect.stringMatching(/^warning: .*config\/2\.json: cannot be read/),
    `${configFile}, with configuration version 1 over it, has no fault`,
    '',
  ])
  expect((await readdir(join(state, 'config'))).sort()).toEqual(['1.json', '2.json'])
})

async function writeVersion(state: string, number: number, overlay: JsonObject): Promise<void> {
  const version = { version: 1, number, overlay, digest: digestOf(overlay), createdAt: '2027-01-01T00:00:00.000Z' }
  const rest = { state: 'accepted', starts: 0, confirmSeconds: 300 }
  await writeFile(join(state, 'config', `${number}.json`), JSON.stringify({ ...version, ...rest }))
}

test('config check finds no fault in what an appliance has before it is provisioned, and says that it is not', async () => {
  await using folder = await tempFolder()
  const configFile = join(folder.path, 'config.json')
  const { device, identity, ...rest } = configDocument()
  const document = {
    ...rest,
    device: { region: device['region'] },
    identity: { rootCa: identity['rootCa'] },
    provisioning: {},
    logs: { sources: [{ kind: 'file', path: '/a', group: '/mine' }] },
    paths: { state: join(folder.path, 'state') },
  }
  await writeFile(configFile, JSON.stringify(document))
  const stdout = new PassThrough({ encoding: 'utf8' })
  await checkConfig({ configFile }, { stdout })
  expect(String(stdout.read()).split('\n')).toEqual([
    expect.stringMatching(/^warning: logs\.sources\[0\]\.group/),
    `${configFile} has no fault`,
    expect.stringMatching(
      /^the appliance is not provisioned: .*template panorama-appliance .*claim\/certificate\.pem$/,
    ),
    '',
  ])
})

test('config check warns of files that it names and that are not there, or not what they should be, and of a reset', async () => {
  await using folder = await tempFolder()
  const configFile = join(folder.path, 'config.json')
  const state = join(folder.path, 'state')
  const noKey = join(folder.path, 'no-key')
  await writeFile(noKey, 'x')
  await mkdir(state)
  await writeFile(join(state, 'reset.json'), '{}')
  const document = configDocument()
  const [artifact] = document.artifacts
  const artifacts = [{ ...artifact, trustedKeys: ['/nonexistent/key.pem', noKey] }]
  const proxy = { url: 'http://proxy.example:3128', usernameFile: noKey, passwordFile: '/nonexistent/password' }
  const cameras = { ...document.cameras, ca: '/nonexistent/ca.pem' }
  const paths = { state, runtime: join(folder.path, 'run') }
  await writeFile(configFile, JSON.stringify({ ...document, artifacts, network: { proxy }, cameras, paths }))
  const stdout = new PassThrough({ encoding: 'utf8' })
  await checkConfig({ configFile }, { stdout })
  expect(String(stdout.read()).split('\n')).toEqual([
    'warning: network.proxy.passwordFile: /nonexistent/password is not there',
    'warning: artifacts[0].trustedKeys[0]: /nonexistent/key.pem is not there',
    `warning: artifacts[0].trustedKeys[1]: ${noKey} is no public key in PEM`,
    'warning: cameras.ca: /nonexistent/ca.pem is not there',
    `warning: paths.state: a reset of ${state} is not finished; start the agent, which finishes it first`,
    `${configFile} has no fault`,
    '',
  ])
})
