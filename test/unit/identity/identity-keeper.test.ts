import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { IdentityKeeper } from '../../../agent/identity/identity-keeper.ts'
import { authorityExtensions, makeCertificate } from '../../support/certificates.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder, type TempFolder } from '../../support/temp-folder.ts'

const dayMs = 86_400_000
const expiresMs = Date.UTC(2040, 0, 1)

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

/** A keeper over a self-signed identity that ends at `expiresMs`, and the cloud time that it is told. */
async function keeperIn({ path }: TempFolder) {
  const device = await makeCertificate({
    commonName: 'device',
    extensions: authorityExtensions(),
    notAfter: new Date(expiresMs),
  })
  const seed = {
    certificate: join(path, 'certificate.pem'),
    privateKey: join(path, 'private.key'),
    rootCa: join(path, 'certificate.pem'),
  }
  await mkdir(path, { recursive: true })
  await writeFile(seed.certificate, device.pem)
  await writeFile(seed.privateKey, device.privateKey, { mode: 0o600 })
  const log = new RecordingLog()
  const time = { nowMs: expiresMs - 365 * dayMs }
  const keeper = new IdentityKeeper({ seed, liveFolder: join(path, 'live'), log, cloudNow: () => time.nowMs })
  return { keeper, log, time, seed }
}

test('waits before the first use, then tells where the identity is from and when it ends', async () => {
  await using folder = await tempFolder()
  const { keeper } = await keeperIn(folder)
  expect(keeper.status()).toMatchObject({ state: 'waiting' })
  await keeper.load()
  const status = keeper.status()
  expect(status).toMatchObject({ state: 'ok', origin: 'seed', certificateExpiresAt: '2040-01-01T00:00:00.000Z' })
  await keeper.load()
  expect(keeper.status().sinceMs).toBe(status.sinceMs)
})

test('tells what is wrong while there is no identity, and that it is well again', async () => {
  await using folder = await tempFolder()
  const { keeper, seed } = await keeperIn(folder)
  await rm(seed.privateKey)
  await expect(keeper.load()).rejects.toThrow('is not there')
  expect(keeper.status()).toMatchObject({ state: 'missing', lastError: { name: 'IdentityError' } })
  const { keeper: mended } = await keeperIn(folder)
  await mended.load()
  expect(mended.status()).toMatchObject({ state: 'ok' })
})

test('does not warn while the certificate has more than 30 days', async () => {
  await using folder = await tempFolder()
  const { keeper, log, time } = await keeperIn(folder)
  time.nowMs = expiresMs - 30 * dayMs - 1
  await keeper.load()
  expect(log.entries).toEqual([])
})

test('warns from 30 days ahead, once a day, with the days that are left', async () => {
  await using folder = await tempFolder()
  const { keeper, log, time } = await keeperIn(folder)
  for (let hour = 0; hour <= 48; hour += 1) {
    time.nowMs = expiresMs - 30 * dayMs + hour * 3_600_000
    await keeper.load()
    vi.advanceTimersByTime(3_600_000)
  }
  expect(log.messages('warn')).toEqual(Array.from({ length: 3 }, () => 'device certificate expires soon'))
  expect(log.entries.map(({ fields }) => fields['daysLeft'])).toEqual([30, 29, 28])
})

test('warns that the certificate has expired', async () => {
  await using folder = await tempFolder()
  const { keeper, log, time } = await keeperIn(folder)
  time.nowMs = expiresMs
  await keeper.load()
  expect(log.messages('warn')).toEqual(['device certificate has expired'])
})
