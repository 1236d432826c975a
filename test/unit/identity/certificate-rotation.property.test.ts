import fc from 'fast-check'
import { expect, test } from 'vitest'

import { CertificateRotation } from '../../../agent/identity/certificate-rotation.ts'
import { openIdentityStore, type IdentityStore } from '../../../agent/identity/identity-store.ts'
import { LeftOverCertificates } from '../../../agent/identity/left-over-certificates.ts'
import { requestRotation } from '../../../agent/identity/request-rotation.ts'
import { authorityExtensions, makeCertificate } from '../../support/certificates.ts'
import { diskUntil, noFaults, type DiskFaults } from '../../support/cut-disk.ts'
import { FakeFleetProvisioning, FakeRejection } from '../../support/fake-fleet-provisioning.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const thingName = 'panorama_A1'
const oldId = 'a'.repeat(64)
const old = await makeCertificate({ commonName: 'old', extensions: authorityExtensions() })

interface Run {
  readonly store: IdentityStore
  readonly leftOver: LeftOverCertificates
  readonly rotation: CertificateRotation
}

/** An appliance over sessions and starts of the process, with power cuts and full disks; it asks for what agent.ts and identity-trial.ts ask for. */
class Appliance {
  readonly #folder: string
  readonly #log = new RecordingLog()
  readonly fleet: FakeFleetProvisioning
  readonly disk: DiskFaults = noFaults()
  run: Run
  /** What the session uses, as far as it shows anything. */
  #inUse: string | undefined
  #isTrying = false
  readonly accepted: (string | undefined)[] = []

  constructor(folder: string, fleet: FakeFleetProvisioning) {
    this.#folder = folder
    this.fleet = fleet
    this.run = this.#open()
  }

  #open(cutAt = Infinity): Run {
    const disk = diskUntil(cutAt, this.disk)
    const write = (path: string, record: unknown): Promise<void> => disk.write(path, JSON.stringify(record))
    const shared = { folder: this.#folder, log: this.#log, now: () => 0 }
    const store = openIdentityStore({ ...shared, files: disk })
    const leftOver = new LeftOverCertificates({ ...shared, write })
    return { store, leftOver, rotation: new CertificateRotation({ ...shared, store, leftOver, write }) }
  }

  async start(cutAt = Infinity): Promise<void> {
    this.run = this.#open(cutAt)
    await this.run.rotation.load().catch(() => undefined)
    await this.session()
  }

  async session(): Promise<void> {
    const { rotation, store } = this.run
    this.#isTrying = false
    for (let tries = 0; tries < 3; tries += 1) {
      this.#inUse = (await store.current())?.certificateId
      if (!rotation.isLoaded) {
        const isLoaded = await rotation.load().then(
          () => true,
          () => false,
        )
        if (!isLoaded) return
        continue
      }
      const isInUse = await rotation.isInUse().catch(() => undefined)
      if (isInUse === undefined) return // it goes on trying
      if (!isInUse) continue
      this.#isTrying = rotation.trial() !== undefined
      return
    }
  }

  async begin(id: string, template: string, withinMs = 15): Promise<void> {
    const { rotation, store, leftOver } = this.run
    const { fleet } = this
    const log = this.#log
    const backoff = { baseMs: 0.2, capMs: 0.2 }
    const certificateId = (await store.current())?.certificateId ?? oldId
    const isBegun = await rotation.begin(
      {
        id,
        thingName,
        certificateId,
        confirmSeconds: 300,
        request: async (end, onTried) => {
          const provisioning = await fleet.connect(thingName)
          return await requestRotation(
            { store, leftOver, provisioning, template, thingName, log, backoff, onTried },
            end,
          )
        },
      },
      AbortSignal.timeout(withinMs),
    )
    if (isBegun) await this.session()
  }

  async giveUp(id: string): Promise<void> {
    if (await this.run.rotation.giveUp('it was withdrawn', id)) await this.session()
  }

  async end(isProven: boolean): Promise<void> {
    const { rotation } = this.run
    if (!this.#isTrying) return
    const shown = this.#inUse
    if (isProven) this.accepted.push(shown)
    if (isProven) await rotation.accept()
    else await rotation.giveUp('its time is up')
    const { record } = rotation
    if (record?.state === 'rotated' && isProven) {
      expect(shown).toBe(record.certificateId)
    }
    this.#isTrying = false
    if (record?.state === 'failed') await this.session()
  }
}

const event = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('begin' as const), id: fc.nat(2), template: fc.nat(1) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('give up' as const), id: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('end' as const), isProven: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('session' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('start' as const), cutAt: fc.oneof(fc.constant(Infinity), fc.nat(25)) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('disk' as const), failAt: fc.nat(20), failures: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('mend' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('lose' as const), what: fc.constantFrom('create', 'register') }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reject' as const), status: fc.constantFrom(400, 503) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('expire' as const) }) },
)
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never

async function apply(appliance: Appliance, each: Event): Promise<void> {
  switch (each.kind) {
    case 'begin':
      await appliance.begin(`job-${each.id}`, `t-${each.template}`)
      return
    case 'give up':
      await appliance.giveUp(`job-${each.id}`)
      return
    case 'end':
      await appliance.end(each.isProven)
      return
    case 'session':
      await appliance.session()
      return
    case 'start':
      await appliance.start(each.cutAt)
      return
    case 'disk':
      Object.assign(appliance.disk, { failAt: each.failAt, failures: each.failures })
      return
    case 'mend':
      appliance.disk.failures = 0
      return
    case 'lose':
      appliance.fleet.lostAnswers.add(each.what)
      return
    case 'reject':
      appliance.fleet.rejections.push(new FakeRejection(each.status, 'X'))
      return
    case 'expire':
      appliance.fleet.expireTokens()
  }
}

test('ends in one identity that was proven, and lists each that is left over', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { maxLength: 25 }), fc.boolean(), async (events, isProven) => {
      await using folder = await tempFolder()
      const appliance = new Appliance(folder.path, await FakeFleetProvisioning.create())
      const { store } = appliance.run
      await store.adopt(
        { kind: 'claim', certificateId: oldId, certificate: old.pem, privateKey: old.privateKey },
        thingName,
      )
      await store.settle('new')
      await appliance.start()
      for (const each of events) {
        await apply(appliance, each).catch((error: unknown) => {
          if (error instanceof Error && error.name === 'AssertionError') throw error
        })
      }
      appliance.disk.failures = 0
      await appliance.start()
      await appliance.end(isProven)
      appliance.fleet.rejections.length = 0
      await appliance.begin('job-last', 't-0', 10_000)
      await appliance.end(isProven)
      const { rotation, leftOver } = appliance.run
      expect(rotation.record).toMatchObject({ id: 'job-last', state: isProven ? 'rotated' : 'failed' })
      const current = (await appliance.run.store.current())?.certificateId
      expect(await appliance.run.store.previous()).toBeUndefined()
      expect(await appliance.run.store.pending()).toBeUndefined()
      const listed = leftOver.certificates.map(({ certificateId }) => certificateId).toSorted()
      const others = [oldId, ...appliance.fleet.registered()].filter((id) => id !== current).toSorted()
      expect(listed).not.toContain(current)
      expect(listed).toEqual(expect.arrayContaining(others))
      if (!isProven) expect([oldId, ...appliance.accepted]).toContain(current)
    }),
    { numRuns: 40 },
  )
}, 60_000)
