import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { CertificateRotation } from '../../../agent/identity/certificate-rotation.ts'
import { openIdentityStore, type IdentityStore, type StoreFiles } from '../../../agent/identity/identity-store.ts'
import { requestRotation } from '../../../agent/identity/request-rotation.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { authorityExtensions, makeCertificate } from '../../support/certificates.ts'
import { FakeFleetProvisioning, FakeRejection } from '../../support/fake-fleet-provisioning.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const thingName = 'panorama_A1'
const oldId = 'a'.repeat(64)
const never = new AbortController().signal

interface Device {
  readonly store: IdentityStore
  readonly rotation: CertificateRotation
  readonly begin: (id: string, signal?: AbortSignal) => Promise<void>
}

interface Bench extends AsyncDisposable {
  readonly fleet: FakeFleetProvisioning
  readonly log: RecordingLog
  /** A start of the process; with `cutAt`, the power is cut at that change of the disk. */
  readonly start: (cutAt?: number) => Promise<Device>
}

async function bench({ isSeed = false } = {}): Promise<Bench> {
  const folder = await tempFolder()
  const fleet = await FakeFleetProvisioning.create()
  const log = new RecordingLog()
  const start: Bench['start'] = async (cutAt = Infinity) => {
    const disk = diskUntil(cutAt)
    const store = openIdentityStore({ folder: folder.path, log, now: () => 0, files: disk })
    const write = (path: string, record: unknown): Promise<void> => disk.write(path, JSON.stringify(record))
    const rotation = new CertificateRotation({ folder: folder.path, store, log, now: () => 0, write })
    await rotation.load()
    const begin: Device['begin'] = async (id, signal = never) => {
      const provisioning = await fleet.connect(thingName)
      const backoff = { baseMs: 1, capMs: 2 }
      await rotation.begin(
        {
          id,
          thingName,
          certificateId: oldId,
          confirmSeconds: 300,
          request: (end) =>
            requestRotation({ store, provisioning, template: 'rotation', thingName, log, backoff }, end),
        },
        signal,
      )
    }
    return { store, rotation, begin }
  }
  const { store } = await start()
  if (!isSeed) {
    await store.adopt({ kind: 'claim', certificateId: oldId, ...(await oldPair()) }, thingName)
    await store.settle('new')
  }
  return { fleet, log, start, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

async function oldPair(): Promise<{ readonly certificate: string; readonly privateKey: string }> {
  const made = await makeCertificate({ commonName: 'old', extensions: authorityExtensions() })
  return { certificate: made.pem, privateKey: made.privateKey }
}

/** Not synced, as nothing here needs it to be. */
function diskUntil(cutAt: number): StoreFiles {
  let changes = 0
  const change = async (work: () => Promise<unknown>): Promise<void> => {
    changes += 1
    if (changes > cutAt) throw new Error('power cut')
    await work()
  }
  return {
    makeFolder: (path) => change(() => mkdir(path, { recursive: true })),
    write: (path, content) => change(() => writeFile(path, content)),
    link: (path, to) =>
      change(async () => {
        await rm(path, { force: true })
        await symlink(to, path)
      }),
    remove: (path) => change(() => rm(path, { recursive: true, force: true })),
  }
}

describe('the rotation of a certificate', () => {
  test('puts the new one on trial, and keeps the old one until that is over', async () => {
    await using site = await bench()
    const { rotation, store, begin } = await site.start()
    await begin('job-1')
    const [newId] = site.fleet.registered()
    expect(rotation.trial()).toBeDefined()
    expect((await store.current())?.certificateId).toBe(newId)
    expect((await store.previous())?.certificateId).toBe(oldId)

    await rotation.accept()

    const outcome = { state: 'rotated', certificateId: newId, previousCertificateId: oldId }
    expect(await rotation.settled('job-1', never)).toMatchObject(outcome)
    expect((await store.current())?.certificateId).toBe(newId)
    expect(await store.previous()).toBeUndefined()
    expect(await store.pending()).toBeUndefined()
  })

  test('goes back to the old one when it is given up, and names the orphan', async () => {
    await using site = await bench()
    const { rotation, store, begin } = await site.start()
    await begin('job-1')
    const [orphanCertificateId] = site.fleet.registered()

    expect(await rotation.giveUp('not proven within 300 s')).toBe(true)

    const outcome = { state: 'failed', reason: 'not proven within 300 s', orphanCertificateId }
    expect(await rotation.settled('job-1', never)).toMatchObject(outcome)
    expect((await store.current())?.certificateId).toBe(oldId)
    expect(await store.previous()).toBeUndefined()
  })

  test('goes back to the seed where there was no other', async () => {
    await using site = await bench({ isSeed: true })
    const { rotation, store, begin } = await site.start()
    await begin('job-1')
    expect(await store.current()).toBeDefined()
    await rotation.giveUp('no')
    expect(await store.current()).toBeUndefined()
  })

  test('tries the certificate whose registration was not answered, and registers no other', async () => {
    await using site = await bench()
    site.fleet.lostAnswers.add('register')
    const { rotation, begin, store } = await site.start()
    await begin('job-1')
    expect(site.fleet.calls.filter((call) => call === 'create')).toHaveLength(1)
    expect(rotation.trial()).toBeDefined()
    expect((await store.current())?.certificateId).toBe(site.fleet.registered()[0])
  })

  test('asks for another certificate when the token of the first has expired before it was used', async () => {
    await using site = await bench()
    const { begin, store } = await site.start()
    const end = new AbortController()
    site.fleet.onRegister = () => {
      end.abort(new Error('stop'))
      throw new AgentError('there is no network', { retryable: true })
    }
    await expect(begin('job-1', end.signal)).rejects.toThrow('stop')
    const pending = await store.pending()
    if (pending?.step !== 'certificate') throw new Error('there is no certificate')
    await store.savePending({ ...pending, isAsked: undefined })
    site.fleet.onRegister = undefined
    site.fleet.expireTokens()
    await begin('job-1')
    expect(site.fleet.calls.filter((call) => call === 'create')).toHaveLength(2)
    expect(site.fleet.registered()).toHaveLength(1)
  })

  test('ends with the reason when AWS IoT refuses it, and leaves the identity alone', async () => {
    await using site = await bench()
    const { rotation, store, begin } = await site.start()
    site.fleet.rejections.push(new FakeRejection(403, 'AccessDenied'))
    await expect(begin('job-1')).rejects.toThrow('403 AccessDenied')
    const outcome = await rotation.settled('job-1', never)
    expect(outcome).toMatchObject({ state: 'failed', reason: '403 AccessDenied', orphanCertificateId: undefined })
    expect((await store.current())?.certificateId).toBe(oldId)
    await begin('job-2')
    expect(rotation.trial()).toBeDefined()
  })

  test('asks again after a failure of the network', async () => {
    await using site = await bench()
    const { rotation, begin } = await site.start()
    site.fleet.lostAnswers.add('create')
    await begin('job-1')
    expect(rotation.trial()).toBeDefined()
    expect(site.fleet.registered()).toHaveLength(1)
  })

  test('is not begun while another is on trial', async () => {
    await using site = await bench()
    const { begin } = await site.start()
    await begin('job-1')
    await expect(begin('job-2')).rejects.toThrow('another rotation is on trial')
  })

  test('is not begun twice for one job, whether it is on trial or over', async () => {
    await using site = await bench()
    const { begin, rotation } = await site.start()
    await begin('job-1')
    await begin('job-1')
    await rotation.accept()
    await begin('job-1')
    expect(site.fleet.registered()).toHaveLength(1)
  })

  test('knows nothing of a job that was not its last', async () => {
    await using site = await bench()
    const { rotation } = await site.start()
    expect(await rotation.settled('job-1', never)).toBeUndefined()
  })

  test('goes back when the process ends three times during the trial', async () => {
    await using site = await bench()
    const { begin } = await site.start()
    await begin('job-1')
    for (let starts = 1; starts <= 3; starts += 1) expect((await site.start()).rotation.trial()).toBeDefined()
    const { rotation, store } = await site.start()
    expect(rotation.record).toMatchObject({ state: 'failed' })
    expect((await store.current())?.certificateId).toBe(oldId)
  })

  test('fails where the template gives the certificate to another thing, and names the orphan', async () => {
    await using site = await bench()
    const { begin, rotation, store } = await site.start()
    site.fleet.thingNameOf = () => 'panorama_other'
    await expect(begin('job-1')).rejects.toThrow('panorama_other')
    const orphanCertificateId = site.fleet.registered()[0]
    expect(rotation.record).toMatchObject({ state: 'failed', orphanCertificateId })
    expect((await store.current())?.certificateId).toBe(oldId)
  })

  test('ends in the old or the new identity, whole, wherever the power is cut, and registers one certificate', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 18 }), { maxLength: 3 }),
        fc.boolean(),
        fc.boolean(),
        async (cuts, isAccepted, isSeed) => {
          await using site = await bench({ isSeed })
          const run = async (cutAt?: number): Promise<Device> => {
            const device = await site.start(cutAt)
            await device.begin('job-1')
            if (isAccepted) await device.rotation.accept()
            else await device.rotation.giveUp('no')
            return device
          }
          for (const cut of cuts) await run(cut).catch(() => undefined)
          const { rotation, store } = await run()

          const ids = site.fleet.registered()
          expect(ids).toHaveLength(1)
          const outcome = await rotation.settled('job-1', never)
          const current = await store.current()
          if (outcome?.state === 'rotated') expect(current?.certificateId).toBe(ids[0])
          else {
            expect(current?.certificateId).toBe(isSeed ? undefined : oldId)
            expect(outcome?.orphanCertificateId).toBe(ids[0])
          }
          expect(await store.previous()).toBeUndefined()
          expect(await store.pending()).toBeUndefined()
        },
      ),
      { numRuns: 60 },
    )
  })
})
