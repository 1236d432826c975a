import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { identityFolderIn, readBase, readUnprovisioned } from '../../../agent/config/base-document.ts'
import { ConfigError } from '../../../agent/config/config-error.ts'
import { parseUnprovisioned } from '../../../agent/config/load-config.ts'
import { openIdentityStore, type IdentityStore, type NewIdentity } from '../../../agent/identity/identity-store.ts'
import { authorityExtensions, makeCertificate } from '../../support/certificates.ts'
import { configDocument } from '../../support/config-document.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'

type Json = Readonly<Record<string, unknown>>

const rootCa = '/etc/panorama-agent/identity/root-ca.pem'

/** Without thing name and without an identity from the image. */
function unprovisioned(change: Json = {}): Json {
  const { device, endpoints, role } = configDocument()
  return { device: { region: device['region'] }, identity: { rootCa }, endpoints, role, provisioning: {}, ...change }
}

function faultsOf(document: Json): readonly string[] {
  try {
    parseUnprovisioned(document, 'config.json')
  } catch (error) {
    if (error instanceof ConfigError) return error.faults.map(({ path, message }) => `${path}: ${message}`)
    throw error
  }
  return []
}

interface Appliance extends AsyncDisposable {
  readonly file: string
  readonly store: IdentityStore
  readonly write: (document: Json) => Promise<void>
}

async function appliance(): Promise<Appliance> {
  const folder = await tempFolder()
  const file = join(folder.path, 'config.json')
  const state = join(folder.path, 'state')
  await mkdir(identityFolderIn(state), { recursive: true })
  const store = openIdentityStore({ folder: identityFolderIn(state), log: new RecordingLog(), now: () => 0 })
  const write = async (document: Json): Promise<void> => {
    await writeFile(file, JSON.stringify({ ...document, paths: { state } }))
  }
  await write(unprovisioned())
  return { file, store, write, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

async function identity(): Promise<NewIdentity> {
  const { pem, der, privateKey } = await makeCertificate({ commonName: 'thing', extensions: authorityExtensions() })
  const certificateId = createHash('sha256').update(der).digest('hex')
  return { kind: 'claim', certificateId, certificate: pem, privateKey }
}

describe('a configuration with provisioning', () => {
  test('may leave out the thing name and the identity', () => {
    expect(parseUnprovisioned(unprovisioned(), 'config.json').provisioning).toEqual({
      template: 'panorama-appliance',
      claimCertificate: '/etc/panorama-agent/claim/certificate.pem',
      claimPrivateKey: '/etc/panorama-agent/claim/private.key',
      serialNumberFile: '/var/lib/panorama-agent-serial/serial',
      thingName: 'panorama_{serial}',
      parameters: {},
      deleteClaim: false,
    })
  })

  const seed = { rootCa, certificate: '/c.pem', privateKey: '/k.pem' }
  test.each<[string, Json, readonly string[]]>([
    ['the endpoint that it goes over', { endpoints: { credentials: 'c1' } }, ['endpoints.mqtt']],
    [
      'all of it where there is no provisioning',
      { provisioning: undefined },
      ['device.thingName', 'identity.certificate', 'identity.privateKey'],
    ],
    ['the thing of an identity from the image', { identity: seed }, ['device.thingName']],
    [
      'the key of a certificate',
      { identity: { rootCa, certificate: '/c.pem' } },
      ['device.thingName', 'identity.privateKey'],
    ],
  ])('may not leave out %s', (_, change, paths) => {
    const faults = faultsOf(unprovisioned(change))
    expect(faults.map((fault) => fault.slice(0, fault.indexOf(':')))).toEqual(paths)
    for (const fault of faults) expect(fault).toContain('is missing')
  })

  test.each<[Json]>([
    [{ template: 'a/b' }],
    [{ template: 'x'.repeat(37) }],
    [{ thingName: 'panorama' }],
    [{ thingName: '{serial}/{serial}' }],
    [{ claimCertificate: 'claim.pem' }],
    [{ parameters: { SerialNumber: 'x' } }],
    [{ parameters: { 'a b': 'x' } }],
    [{ rotateBeforeDays: 0 }],
    [{ unknown: 1 }],
  ])('may not hold %j', (provisioning) => {
    expect(faultsOf(unprovisioned({ provisioning }))).toHaveLength(1)
  })
})

describe('the base file', () => {
  test('alone is not enough while there is no identity', async () => {
    await using site = await appliance()
    expect(await readUnprovisioned(site.file)).toMatchObject({ device: { region: 'us-west-2' } })
    await expect(readBase(site.file)).rejects.toThrow('device.thingName: is missing: this is not provisioned yet')
  })

  test('gets the thing name of the identity that the appliance got for itself', async () => {
    await using site = await appliance()
    await site.store.adopt(await identity(), 'panorama_A1')
    expect(await readUnprovisioned(site.file)).toBeUndefined()
    const base = await readBase(site.file)
    expect(base).toMatchObject({ config: { device: { thingName: 'panorama_A1' } } })
    expect(base.warning).toBeUndefined()
  })

  test('is warned of when it names another thing than the identity, which is used', async () => {
    await using site = await appliance()
    await site.store.adopt(await identity(), 'panorama_A1')
    await site.write(unprovisioned({ device: { thingName: 'other', region: 'us-west-2' } }))
    const { config, warning } = await readBase(site.file)
    expect(config.device.thingName).toBe('panorama_A1')
    expect(warning?.path).toBe('device.thingName')
    expect(warning?.message).toContain('of panorama_A1')
  })

  test('is not enough while an identity by claim is not proven', async () => {
    await using site = await appliance()
    const { certificateId, certificate, privateKey } = await identity()
    const pending = { template: 't', clientId: 't-A1', certificateId, certificate, privateKey, token: 't' }
    await site.store.savePending({ ...pending, kind: 'claim', step: 'registered', thingName: 'panorama_A1' })
    await site.store.adopt({ kind: 'claim', certificateId, certificate, privateKey }, 'panorama_A1')
    expect(await readUnprovisioned(site.file)).toBeDefined()
    await site.store.dropPending()
    expect(await readUnprovisioned(site.file)).toBeUndefined()
  })

  test('with an identity from the image needs no provisioning', async () => {
    await using site = await appliance()
    await site.write({ ...configDocument(), provisioning: {} })
    expect(await readUnprovisioned(site.file)).toBeUndefined()
    expect((await readBase(site.file)).config.device.thingName).toBe('panorama_dock-1_Thing_a01e373b')
  })
})
