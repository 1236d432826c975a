import { readdir, readFile, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { CertificateRotation } from '../../../agent/identity/certificate-rotation.ts'
import { openIdentityStore, type IdentityStore } from '../../../agent/identity/identity-store.ts'
import { LeftOverCertificates } from '../../../agent/identity/left-over-certificates.ts'
import { requestRotation } from '../../../agent/identity/request-rotation.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { authorityExtensions, makeCertificate } from '../../support/certificates.ts'
import { diskUntil, noFaults, type DiskFaults } from '../../support/cut-disk.ts'
import { FakeFleetProvisioning, FakeRejection } from '../../support/fake-fleet-provisioning.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { until } from '../../support/wait-until.ts'

const thingName = 'panorama_A1'
const oldId = 'a'.repeat(64)
const never = new AbortController().signal

interface Device {
  readonly store: IdentityStore
  readonly rotation: CertificateRotation
  readonly leftOver: LeftOverCertificates
  readonly begin: (id: string, signal?: AbortSignal, template?: string) => Promise<boolean>
  readonly loseRecord: () => Promise<void>
}

interface Bench extends AsyncDisposable {
  readonly fleet: FakeFleetProvisioning
  readonly log: RecordingLog
  /** A start of the process; with `cutAt`, the power is cut at that change of the disk. */
  readonly start: (cutAt?: number) => Promise<Device>
  readonly disk: DiskFaults
  readonly loseList: () => Promise<void>
  /** How many files hold a private key. */
  readonly privateKeys: () => Promise<number>
}

async function bench({ isSeed = false } = {}): Promise<Bench> {
  const folder = await tempFolder()
  const fleet = await FakeFleetProvisioning.create()
  const log = new RecordingLog()
  const faults = noFaults()
  const start: Bench['start'] = async (cutAt = Infinity) => {
    const disk = diskUntil(cutAt, faults)
    const store = openIdentityStore({ folder: folder.path, log, now: () => 0, files: disk })
    const write = (path: string, record: unknown): Promise<void> => disk.write(path, JSON.stringify(record))
    const leftOver = new LeftOverCertificates({ folder: folder.path, log, now: () => 0, write })
    const rotation = new CertificateRotation({ folder: folder.path, store, leftOver, log, now: () => 0, write })
    await rotation.load()
    const begin: Device['begin'] = async (id, signal = never, template = 'rotation') => {
      const provisioning = await fleet.connect(thingName)
      const backoff = { baseMs: 1, capMs: 2 }
      return await rotation.begin(
        {
          id,
          thingName,
          certificateId: (await store.current())?.certificateId ?? oldId,
          confirmSeconds: 300,
          request: (end, onTried) =>
            requestRotation({ store, leftOver, provisioning, template, thingName, log, backoff, onTried }, end),
        },
        signal,
      )
    }
    const loseRecord = (): Promise<void> => rm(join(folder.path, 'rotation.json'))
    return { store, rotation, leftOver, begin, loseRecord }
  }
  const { store } = await start()
  if (!isSeed) {
    await store.adopt({ kind: 'claim', certificateId: oldId, ...(await oldPair()) }, thingName)
    await store.settle('new')
  }
  const privateKeys = async (): Promise<number> => {
    const names = await readdir(folder.path, { recursive: true, withFileTypes: true })
    const files = names.filter((each) => each.isFile()).map((each) => realpath(join(each.parentPath, each.name)))
    const texts = [...new Set(await Promise.all(files))].map((path) => readFile(path, 'utf8'))
    return (await Promise.all(texts)).filter((text) => text.includes('PRIVATE KEY')).length
  }
  const loseList = (): Promise<void> => rm(join(folder.path, 'left-over.json'))
  return {
    fleet,
    log,
    start,
    disk: faults,
    loseList,
    privateKeys,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

async function oldPair(): Promise<{ readonly certificate: string; readonly privateKey: string }> {
  const made = await makeCertificate({ commonName: 'old', extensions: authorityExtensions() })
  return { certificate: made.pem, privateKey: made.privateKey }
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
          const { rotation, store, leftOver } = await run()

          const ids = site.fleet.registered()
          expect(ids).toHaveLength(1)
          const outcome = await rotation.settled('job-1', never)
          const current = await store.current()
          const unused = outcome?.state === 'rotated' ? oldId : ids[0]
          expect(leftOver.certificates.map(({ certificateId }) => certificateId)).toEqual([unused])
          if (outcome?.state === 'rotated') expect(current?.certificateId).toBe(ids[0])
          else {
            expect(current?.certificateId).toBe(isSeed ? undefined : oldId)
            expect(outcome?.orphanCertificateId).toBe(ids[0])
          }
          expect(await store.previous()).toBeUndefined()
          expect(await store.pending()).toBeUndefined()
          expect(await site.privateKeys()).toBe(current === undefined ? 0 : 1)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('is ended whole once the disk takes it again, without a restart', async () => {
    for (const isAccepted of [true, false]) {
      for (let failAt = 0; failAt < 9; failAt += 1) {
        await using site = await bench()
        const { rotation, store, begin } = await site.start()
        await begin('job-1')
        Object.assign(site.disk, { failAt, failures: 1 })
        const end = async (): Promise<void> => {
          if (isAccepted) await rotation.accept()
          else await rotation.giveUp('not proven')
        }
        await end().catch(() => undefined)
        site.disk.failures = 0
        if (rotation.trial() !== undefined) await end()
        await begin('job-2')
        await rotation.giveUp('not proven either')

        const [first] = site.fleet.registered()
        const kept = (await store.current())?.certificateId
        expect(kept, `${isAccepted ? 'accepted' : 'given up'}, failed at ${failAt}`).toBe(isAccepted ? first : oldId)
        expect(await store.previous()).toBeUndefined()
      }
    }
  })

  test('does not turn round what is decided and on the disk', async () => {
    await using site = await bench()
    const { rotation, store, begin } = await site.start()
    await begin('job-1')
    const [newId] = site.fleet.registered()
    Object.assign(site.disk, { failAt: 2, failures: 1 })
    await expect(rotation.accept()).rejects.toThrow('the disk is full')
    expect(await rotation.giveUp('its time is over')).toBe(false)
    expect(rotation.record).toMatchObject({ state: 'rotated' })
    expect((await store.current())?.certificateId).toBe(newId)
  })

  test('leaves nothing under way that keeps the next one from its beginning, whenever the disk is full', async () => {
    for (let failAt = 0; failAt < 20; failAt += 1) {
      await using site = await bench()
      const { rotation, store, begin } = await site.start()
      Object.assign(site.disk, { failAt, failures: 12 })
      const isBegun = await begin('job-1', AbortSignal.timeout(40)).catch(() => undefined)
      if (isBegun === undefined) await rotation.giveUp('the disk is full', 'job-1').catch(() => undefined)
      else await rotation.accept().catch(() => undefined)
      site.disk.failures = 0
      if (isBegun === undefined) {
        expect(await begin('job-2'), `full from ${failAt} on`).toBe(true)
        expect(rotation.trial()).toBeDefined()
        expect((await store.previous())?.certificateId).toBe(oldId)
      }
    }
  })

  test('accepts no certificate that was never put to use, wherever the disk was full for that', async () => {
    for (let failAt = 0; failAt < 20; failAt += 1) {
      await using site = await bench()
      const { rotation, store, leftOver, begin } = await site.start()
      Object.assign(site.disk, { failAt, failures: 100 })
      const isBegun = await begin('job-1', AbortSignal.timeout(40)).catch(() => false)
      if (!isBegun) await rotation.giveUp('the disk is full', 'job-1').catch(() => undefined)
      site.disk.failures = 0
      const before = (await store.current())?.certificateId
      await rotation.accept() // by a session that began in between

      expect((await store.current())?.certificateId, `full from ${failAt} on`).toBe(before)
      const listed = leftOver.certificates.map(({ certificateId }) => certificateId)
      expect(listed, `full from ${failAt} on`).not.toContain(before)
    }
  })

  test('is put to use by the next session where the disk was full for that, and tried by the one after', async () => {
    for (let failAt = 0; failAt < 20; failAt += 1) {
      await using site = await bench()
      const { rotation, store, begin } = await site.start()
      Object.assign(site.disk, { failAt, failures: 100 })
      await begin('job-1', AbortSignal.timeout(40)).catch(() => undefined)
      await rotation.giveUp('the disk is full', 'job-1').catch(() => undefined)
      site.disk.failures = 0
      const before = (await store.current())?.certificateId
      const record = rotation.record
      if (record?.state !== 'trial') continue
      expect(await rotation.isInUse(), `full from ${failAt} on`).toBe(before === record.certificateId)
      expect(await rotation.isInUse()).toBe(true)
      expect((await store.current())?.certificateId).toBe(record.certificateId)
      await rotation.accept()
      expect(rotation.record).toMatchObject({ state: 'rotated', previousCertificateId: oldId })
    }
  })

  test('is put on trial by a repetition where the disk was full for that', async () => {
    for (let failAt = 0; failAt < 14; failAt += 1) {
      await using site = await bench()
      const { rotation, store, begin } = await site.start()
      Object.assign(site.disk, { failAt, failures: 1 })
      const isBegun = await begin('job-1').catch(() => false)
      expect((await begin('job-1')) || isBegun, `full at ${failAt}`).toBe(true)
      expect((await store.current())?.certificateId).toBe(site.fleet.registered()[0])
      await rotation.accept()
    }
  })

  test('knows what it fails of while it is under way, and tells the log once', async () => {
    await using site = await bench()
    const { begin, rotation } = await site.start()
    const end = new AbortController()
    site.fleet.rejections.push(...Array.from({ length: 20 }, () => new FakeRejection(503, 'ServiceUnavailable')))
    const begun = begin('job-1', end.signal)
    await until(() => site.fleet.rejections.length < 15)
    expect(rotation.trouble).toMatchObject({ message: expect.stringContaining('ServiceUnavailable') as string })
    expect(await begun).toBe(true)
    expect(rotation.trouble).toBe(undefined)
    expect(site.log.messages('warn')).toEqual(['the certificate cannot be rotated at the moment'])
  })

  test('waits for no other longer than its caller does', async () => {
    await using site = await bench()
    const { begin, rotation } = await site.start()
    const end = new AbortController()
    site.fleet.rejections.push(...Array.from({ length: 1_000 }, () => new FakeRejection(503, 'ServiceUnavailable')))
    const first = begin('job-1', end.signal)
    await until(() => rotation.record?.id === 'job-1')
    await expect(begin('automatic', AbortSignal.timeout(20))).rejects.toThrow('timeout')
    expect(await rotation.giveUp('its time is over', 'automatic')).toBe(false)
    end.abort(new Error('stop'))
    await expect(first).rejects.toThrow('stop')
  })

  test('tries the certificate whose registration failed at AWS IoT, as nobody knows how far it came', async () => {
    await using site = await bench()
    site.fleet.failures.push(new FakeRejection(500, 'InternalError'))
    const { rotation, begin } = await site.start()
    await begin('job-1')
    expect(site.fleet.registered()).toHaveLength(1)
    expect(rotation.trial()).toBeDefined()
  })

  test('lists every certificate that it leaves, whatever came after, until somebody says that it is deactivated', async () => {
    await using site = await bench()
    const { begin, rotation, leftOver } = await site.start()
    await begin('job-1')
    await rotation.accept()
    await begin('job-2')
    await rotation.giveUp('not proven')
    await begin('job-3')
    await rotation.accept()

    const [first, orphan] = site.fleet.registered()
    const listed = [
      { certificateId: oldId, why: 'deactivate' },
      { certificateId: orphan, why: 'orphan' },
      { certificateId: first, why: 'deactivate' },
    ]
    expect(leftOver.certificates).toMatchObject(listed)
    expect(await leftOver.forget([oldId, 'f'.repeat(64)])).toEqual([oldId])
    expect((await site.start()).leftOver.certificates).toMatchObject(listed.slice(1))
  })

  test('lists what an earlier version of the agent rotated away, and not again once that is said to be done', async () => {
    await using site = await bench()
    const { begin, rotation } = await site.start()
    await begin('job-1')
    await rotation.accept()
    await site.loseList()
    const { leftOver } = await site.start()
    expect(leftOver.certificates).toMatchObject([{ certificateId: oldId, why: 'deactivate' }])
    await leftOver.forget([oldId])
    expect((await site.start()).leftOver.certificates).toEqual([])
  })

  test('lists a certificate that another template got, and that is given up for the one of this template', async () => {
    await using site = await bench()
    const end = new AbortController()
    site.fleet.onRegister = () => {
      end.abort(new Error('its time is over'))
      throw new AgentError('there is no network', { retryable: true })
    }
    const { begin, leftOver } = await site.start()
    await expect(begin('job-1', end.signal)).rejects.toThrow('its time is over')
    site.fleet.onRegister = undefined
    const [asked] = site.fleet.certificates.keys()
    await begin('job-1', never, 'other')
    expect(leftOver.certificates).toMatchObject([{ certificateId: asked, why: 'orphan' }])
  })

  test('is on trial also where its record was lost meanwhile', async () => {
    await using site = await bench()
    const before = await site.start()
    await before.begin('job-1')
    await before.loseRecord()
    const { rotation, store } = await site.start()
    expect(rotation.trial()).toBeDefined()
    await rotation.giveUp('not proven')
    expect((await store.current())?.certificateId).toBe(oldId)
  })
})
