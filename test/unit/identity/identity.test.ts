import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { beforeAll, expect, test } from 'vitest'

import {
  IdentityError,
  loadIdentity,
  readRootCa,
  type IdentityLocation,
  type IdentityPaths,
} from '../../../agent/identity/identity.ts'
import { authorityExtensions, makeCertificate, type TestCertificate } from '../../support/certificates.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const made: { root: TestCertificate; device: TestCertificate; other: TestCertificate }[] = []

beforeAll(async () => {
  const root = await makeCertificate({ commonName: 'root', extensions: authorityExtensions() })
  const device = await makeCertificate({ commonName: 'device', issuer: root, notAfter: new Date(2_000_000_000_000) })
  made.push({ root, device, other: await makeCertificate({ commonName: 'other', issuer: root }) })
})

function certificates(): { root: TestCertificate; device: TestCertificate; other: TestCertificate } {
  const [first] = made
  if (first === undefined) throw new Error('no certificates were made')
  return first
}

interface Seeded extends AsyncDisposable {
  readonly location: IdentityLocation & { readonly seed: IdentityPaths }
  readonly folder: string
}

/** A folder with a good seed in it. */
async function seeded(): Promise<Seeded> {
  const folder = await tempFolder()
  const seed = {
    certificate: join(folder.path, 'certificate.pem'),
    privateKey: join(folder.path, 'private.key'),
    rootCa: join(folder.path, 'root-ca.pem'),
  }
  const { root, device } = certificates()
  await writeFile(seed.certificate, device.pem)
  await writeFile(seed.privateKey, device.privateKey, { mode: 0o600 })
  await writeFile(seed.rootCa, root.pem)
  const location = { seed, liveFolder: join(folder.path, 'live') }
  return {
    location,
    folder: folder.path,
    [Symbol.asyncDispose]: async () => {
      await folder[Symbol.asyncDispose]()
    },
  }
}

async function writeLive({ liveFolder }: IdentityLocation, { pem, privateKey }: TestCertificate): Promise<void> {
  await mkdir(liveFolder, { recursive: true })
  await writeFile(join(liveFolder, 'certificate.pem'), pem)
  await writeFile(join(liveFolder, 'private.key'), privateKey, { mode: 0o600 })
}

async function faultOf(location: IdentityLocation): Promise<IdentityError> {
  const error: unknown = await loadIdentity(location).catch((thrown: unknown) => thrown)
  if (error instanceof IdentityError) return error
  throw new Error('expected an IdentityError', { cause: error })
}

test('reads the seed with its roots and the end of its certificate', async () => {
  await using seed = await seeded()
  const { device, root } = certificates()
  expect(await loadIdentity(seed.location)).toMatchObject({
    origin: 'seed',
    certificate: device.pem,
    privateKey: device.privateKey,
    roots: root.pem,
    notAfterMs: 2_000_000_000_000,
  })
})

test('prefers the live identity to the seed, with the roots of the seed', async () => {
  await using seed = await seeded()
  const { other, root } = certificates()
  await writeLive(seed.location, other)
  expect(await loadIdentity(seed.location)).toMatchObject({ origin: 'live', certificate: other.pem, roots: root.pem })
})

test('needs no seed certificate when there is a live identity', async () => {
  await using seed = await seeded()
  await writeLive(seed.location, certificates().other)
  await rm(seed.location.seed.certificate)
  await rm(seed.location.seed.privateKey)
  expect(await loadIdentity(seed.location)).toMatchObject({ origin: 'live' })
})

test.each(['certificate', 'privateKey', 'rootCa'] as const)('waits for a missing %s and names it', async (part) => {
  await using seed = await seeded()
  const path = seed.location.seed[part]
  await rm(path)
  const error = await faultOf(seed.location)
  expect(error).toMatchObject({ fault: 'missing', retryable: true, message: `${path} is not there` })
  expect(error.hint).toContain('provision the appliance')
})

test('waits for an identity whose folder is missing', async () => {
  await using seed = await seeded()
  const location = { ...seed.location, seed: { ...seed.location.seed, privateKey: `${seed.folder}/none/private.key` } }
  expect(await faultOf(location)).toMatchObject({ fault: 'missing', retryable: true })
})

test.each([0o604, 0o644, 0o660, 0o620, 0o602, 0o777])(
  'refuses a key of mode %o and says how to mend it',
  async (mode) => {
    await using seed = await seeded()
    const { privateKey } = seed.location.seed
    await chmod(privateKey, mode)
    const error = await faultOf(seed.location)
    expect(error).toMatchObject({ fault: 'unusable', retryable: false, hint: `chmod g-w,o= ${privateKey}` })
    expect(error.message).toContain(`mode 0${mode.toString(8)}`)
  },
)

test.each([0o400, 0o440, 0o600, 0o640])('takes a key of mode %o', async (mode) => {
  await using seed = await seeded()
  await chmod(seed.location.seed.privateKey, mode)
  expect(await loadIdentity(seed.location)).toMatchObject({ origin: 'seed' })
})

test.each(['certificate', 'privateKey', 'rootCa'] as const)(
  'refuses a %s that is not PEM and names it',
  async (part) => {
    await using seed = await seeded()
    const path = seed.location.seed[part]
    for (const content of ['', 'not a key', '-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n']) {
      await writeFile(path, content)
      const error = await faultOf(seed.location)
      expect(error).toMatchObject({ fault: 'unusable', retryable: false })
      expect(error.message).toContain(path)
    }
  },
)

test('refuses the key of another certificate', async () => {
  await using seed = await seeded()
  const { certificate, privateKey } = seed.location.seed
  await writeFile(privateKey, certificates().other.privateKey)
  const error = await faultOf(seed.location)
  expect(error).toMatchObject({ fault: 'unusable', message: `${privateKey} is not the key of ${certificate}` })
})

test('names a file that cannot be read, with the reason', async () => {
  await using seed = await seeded()
  await rm(seed.location.seed.certificate)
  await mkdir(seed.location.seed.certificate)
  const error = await faultOf(seed.location)
  expect(error).toMatchObject({ fault: 'unusable' })
  expect(error.message).toContain('cannot be read (EISDIR)')
})

test('never shows key material', async () => {
  await using seed = await seeded()
  const { privateKey } = seed.location.seed
  await writeFile(privateKey, certificates().other.privateKey.replace('MIG', 'XXX'))
  const { message, hint } = await faultOf(seed.location)
  const [, body = ''] = certificates().other.privateKey.split('\n')
  expect(`${message} ${hint ?? ''}`).not.toContain(body.slice(10, 30))
})

test('reads the roots, or none while they cannot be read', async () => {
  await using seed = await seeded()
  expect(await readRootCa(seed.location.seed.rootCa)).toBe(certificates().root.pem)
  expect(await readRootCa(join(seed.folder, 'missing'))).toBe('')
})

test('waits for an identity where the configuration names no seed', async () => {
  await using site = await seeded()
  const { liveFolder, seed } = site.location
  const error = await faultOf({ liveFolder, seed: { rootCa: seed.rootCa } })
  expect(error).toMatchObject({ fault: 'missing', retryable: true })
})
