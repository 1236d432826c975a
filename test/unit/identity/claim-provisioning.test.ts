import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { provisionByClaim, type ClaimProvisioningOptions } from '../../../agent/identity/claim-provisioning.ts'
import { openIdentityStore, type StoreFiles } from '../../../agent/identity/identity-store.ts'
import { LeftOverCertificates } from '../../../agent/identity/left-over-certificates.ts'
import { refusalsBeforeAnother } from '../../../agent/identity/claim-proof.ts'
import { nextStep, type ProvisioningStep } from '../../../agent/identity/provisioning-step.ts'
import type { PendingIdentity } from '../../../agent/identity/pending-identity.ts'
import { makePrivateKey, makeSigningRequest } from '../../../agent/identity/signing-request.ts'
import type { StoredIdentity } from '../../../agent/identity/stored-identity.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { diskUntil } from '../../support/cut-disk.ts'
import { FakeFleetProvisioning, FakeRejection } from '../../support/fake-fleet-provisioning.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const thingName = 'panorama_A1'
const never = new AbortController().signal
const target = {
  template: 'panorama-appliance',
  clientId: 'panorama-appliance-A1',
  parameters: { SerialNumber: 'A1' },
  expectedThing: thingName,
}

interface Bench extends AsyncDisposable {
  readonly fleet: FakeFleetProvisioning
  readonly log: RecordingLog
  /** One attempt; with `cutAt`, the power is cut at that change of the disk. */
  readonly attempt: (options?: Partial<ClaimProvisioningOptions>, cutAt?: number) => Promise<StoredIdentity>
  readonly steps: ProvisioningStep[]
  /** Ids that somebody has to deactivate, as they are on the disk. */
  readonly leftOver: () => Promise<readonly string[]>
}

async function bench(): Promise<Bench> {
  const folder = await tempFolder()
  const fleet = await FakeFleetProvisioning.create()
  const log = new RecordingLog()
  const steps: ProvisioningStep[] = []
  const leftOverIn = (disk: StoreFiles): LeftOverCertificates => {
    const write = (path: string, list: unknown): Promise<void> => disk.write(path, JSON.stringify(list))
    return new LeftOverCertificates({ folder: folder.path, log, now: () => 0, write })
  }
  const attempt: Bench['attempt'] = async (options = {}, cutAt = Infinity) => {
    const disk = diskUntil(cutAt)
    const store = openIdentityStore({ folder: folder.path, log, now: () => 0, files: disk })
    return await provisionByClaim(
      {
        store,
        target: () => Promise.resolve(target),
        connect: fleet.connect,
        proof: fleet.proof,
        leftOver: leftOverIn(disk),
        log,
        patience: { withinMs: 20, everyMs: 1 },
        ...options,
      },
      {
        signal: new AbortController().signal,
        onStep: (step) => {
          if (steps.at(-1) !== step) steps.push(step)
        },
      },
    )
  }
  const leftOver: Bench['leftOver'] = async () => {
    const list = leftOverIn(diskUntil(0))
    await list.load()
    return list.certificates.map(({ certificateId }) => certificateId)
  }
  return { fleet, log, steps, attempt, leftOver, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

describe('an identity by claim', () => {
  test('is got in one attempt, over one connection, and is proven', async () => {
    await using site = await bench()
    expect(await site.attempt()).toMatchObject({ thingName })
    expect(site.fleet.calls).toEqual(['connect panorama-appliance-A1', 'create', 'register'])
    expect(site.steps).toEqual(['make-key', 'get-certificate', 'register', 'adopt', 'prove', 'done'])
    expect(site.fleet.open).toBe(0)
  })

  test('is got with one certificate, wherever the power is cut, or with a second where none was registered', async () => {
    for (let cutAt = 0; ; cutAt += 1) {
      await using site = await bench()
      const isCut = await site.attempt({}, cutAt).then(
        () => false,
        () => true,
      )
      expect(await site.attempt()).toMatchObject({ thingName })
      expect(site.fleet.registered(), `cut at ${cutAt}`).toHaveLength(1)
      expect(site.fleet.open).toBe(0)
      if (!isCut) break
    }
  })

  test('is got whatever goes wrong on the way', async () => {
    const fault = fc.constantFrom(
      'cut',
      'offline',
      'throttled',
      'lost create',
      'lost register',
      'expired',
      'refused',
      'none',
    )
    const attempts = fc.array(fc.tuple(fault, fc.nat(20)), { maxLength: 8 })
    await fc.assert(
      fc.asyncProperty(attempts, async (faults) => {
        await using site = await bench()
        const { fleet } = site
        for (const [kind, cutAt] of faults) {
          fleet.isOffline = kind === 'offline'
          fleet.refusedAttempts = kind === 'refused' ? 1000 : 0
          if (kind === 'throttled') fleet.rejections.push(new FakeRejection(429, 'ThrottlingException'))
          if (kind === 'lost create') fleet.lostAnswers.add('create')
          if (kind === 'lost register') fleet.lostAnswers.add('register')
          if (kind === 'expired') fleet.expireTokens()
          await site.attempt({}, kind === 'cut' ? cutAt : Infinity).catch(() => undefined)
          fleet.lostAnswers.clear()
          fleet.rejections.splice(0)
        }
        fleet.isOffline = false
        fleet.refusedAttempts = 0
        const identity = await site.attempt()
        expect(fleet.registered()).toContain(identity.certificateId)
        expect(fleet.open).toBe(0)
      }),
      { numRuns: 30 },
    )
  })
})

describe('a lost answer', () => {
  test('of RegisterThing is settled by connecting', async () => {
    await using site = await bench()
    site.fleet.lostAnswers.add('register')
    await expect(site.attempt()).rejects.toThrow('register got no answer')
    expect(await site.attempt()).toMatchObject({ thingName })
    expect(site.fleet.calls.filter((call) => call === 'register')).toHaveLength(1)
    expect(site.fleet.certificates.size).toBe(1)
  })

  test('of RegisterThing is settled by connecting where it failed at AWS IoT and nobody knows how far it came', async () => {
    await using site = await bench()
    site.fleet.failures.push(new FakeRejection(500, 'InternalError'))
    await expect(site.attempt()).rejects.toThrow('500 InternalError')
    expect(await site.attempt()).toMatchObject({ thingName })
    expect(site.fleet.certificates.size).toBe(1)
  })

  test('of RegisterThing is asked for again where connecting is refused, and waited for where the token is used up', async () => {
    await using site = await bench()
    site.fleet.lostAnswers.add('register')
    site.fleet.refusedAttempts = 3
    await expect(site.attempt()).rejects.toThrow('register got no answer')
    expect(await site.attempt()).toMatchObject({ thingName })
    expect(site.fleet.calls.filter((call) => call === 'register')).toHaveLength(2)
    expect(site.fleet.certificates.size).toBe(1)
  })

  test('of RegisterThing that never arrived is asked for again with the same token', async () => {
    await using site = await bench()
    const unheard = async (clientId: string) => ({
      ...(await site.fleet.connect(clientId)),
      registerThing: () => Promise.reject(new AgentError('no answer', { retryable: true })),
    })
    await expect(site.attempt({ connect: unheard })).rejects.toThrow('no answer')
    expect(await site.attempt()).toMatchObject({ thingName })
    expect(site.fleet.certificates.size).toBe(1)
  })

  test('of CreateCertificateFromCsr is asked for again with the same key', async () => {
    await using site = await bench()
    site.fleet.lostAnswers.add('create')
    await expect(site.attempt()).rejects.toThrow('create got no answer')
    await site.attempt()
    expect(site.steps.filter((step) => step === 'make-key')).toHaveLength(1)
    expect(site.fleet.registered()).toHaveLength(1)
  })
})

describe('what AWS IoT refuses', () => {
  test('is thrown, and the same certificate is registered later', async () => {
    await using site = await bench()
    const offline = site.attempt({ connect: () => Promise.reject(new AgentError('the claim is refused')) })
    await expect(offline).rejects.toThrow('the claim is refused')
    site.fleet.rejections.push(new FakeRejection(429, 'ThrottlingException'))
    await expect(site.attempt()).rejects.toThrow('429')
    site.fleet.lostAnswers.clear()
    await site.attempt()
    expect(site.fleet.certificates.size).toBe(1)
  })

  test('by its hook leaves the token good: nothing is asked for by connecting', async () => {
    await using site = await bench()
    site.fleet.lostAnswers.add('create')
    await site.attempt().catch(() => undefined)
    await site
      .attempt({ connect: (id) => rejecting(site.fleet, id, new FakeRejection(403, 'AccessDenied')) })
      .catch(() => 0)
    site.steps.splice(0)
    await site.attempt()
    expect(site.steps).toEqual(['register', 'adopt', 'prove', 'done'])
  })

  test('for an expired token begins anew', async () => {
    await using site = await bench()
    const connect = (id: string) => rejecting(site.fleet, id, new FakeRejection(403, 'AccessDenied'))
    await site.attempt({ connect }).catch(() => undefined)
    site.fleet.expireTokens()
    expect(await site.attempt()).toMatchObject({ thingName })
    expect(site.steps).toContain('make-key')
    expect(site.fleet.certificates.size).toBe(2)
    expect(site.log.messages('warn')).toHaveLength(1)
  })
})

test('a certificate that a lost answer may have given to a thing of another name is named', async () => {
  await using site = await bench()
  site.fleet.thingNameOf = () => 'panorama_other'
  site.fleet.lostAnswers.add('register')
  await expect(site.attempt()).rejects.toThrow('register got no answer')
  expect(await site.attempt()).toMatchObject({ thingName: 'panorama_other' })
  const [orphan] = site.fleet.registered()
  const warned = site.log.entries.filter(({ level }) => level === 'warn')
  expect(warned.map(({ fields }) => fields['orphan'])).toEqual([orphan])
})

describe('the proof', () => {
  test('waits until AWS IoT knows the certificate everywhere', async () => {
    await using site = await bench()
    site.fleet.refusedAttempts = 2
    expect(await site.attempt({ patience: { withinMs: 60_000, everyMs: 1 } })).toMatchObject({ thingName })
  })

  test('that does not come is thrown, with what was registered kept for the next attempt, without claim and serial', async () => {
    await using site = await bench()
    site.fleet.credentialsError = new AgentError('the role alias is not there', { hint: 'create it' })
    const failed = site.attempt()
    await expect(failed).rejects.toMatchObject({ message: `the new identity of ${thingName} cannot be used` })
    site.fleet.credentialsError = undefined
    const gone = (): Promise<never> => Promise.reject(new AgentError('there is no claim'))
    expect(await site.attempt({ target: gone, connect: gone })).toMatchObject({ thingName })
    expect(site.fleet.certificates.size).toBe(1)
  })

  test('comes before the claim is deleted', async () => {
    await using site = await bench()
    const deleted: string[] = []
    const deleteClaim = async (): Promise<void> => {
      deleted.push('claim')
      await Promise.resolve()
    }
    site.fleet.credentialsError = new AgentError('not yet')
    await site.attempt({ deleteClaim }).catch(() => undefined)
    expect(deleted).toEqual([])
    site.fleet.credentialsError = undefined
    await site.attempt({ deleteClaim })
    expect(deleted).toEqual(['claim'])
  })

  test('stands where the claim cannot be deleted, which is reported', async () => {
    await using site = await bench()
    await site.attempt({ deleteClaim: () => Promise.reject(new Error('EROFS')) })
    expect(site.log.messages('error')).toEqual(['the claim cannot be deleted'])
  })
})

describe('a certificate that is gone in AWS IoT before it is proven', () => {
  const patience = { withinMs: 0, everyMs: 1 }

  /** Registered, adopted and never taken: attempts until something else than a refusal is seen. */
  async function refusedFor(site: Bench, attempts: number): Promise<void> {
    for (let count = 0; count < attempts; count += 1) {
      await expect(site.attempt({ patience })).rejects.toThrow('cannot be used')
    }
  }

  test('is replaced once it was refused for long, while the claim gets through, and is named', async () => {
    await using site = await bench()
    site.fleet.refusedAttempts = Infinity
    await refusedFor(site, refusalsBeforeAnother(0) - 1)
    const [gone = ''] = site.fleet.certificates.keys()
    expect(await site.leftOver()).toEqual([])
    site.fleet.certificates.delete(gone)
    site.fleet.refusedAttempts = 0
    const identity = await site.attempt({ patience })
    expect(identity.certificateId).not.toBe(gone)
    expect(await site.leftOver()).toEqual([gone])
    const told = site.log.entries.filter(({ level }) => level === 'error')
    expect(told.map(({ fields }) => fields['orphan'])).toEqual([gone])
  })

  test('is replaced ever more rarely where every other is refused as well, as under a policy that is wrong', async () => {
    await using site = await bench()
    site.fleet.refusedAttempts = Infinity
    await refusedFor(site, refusalsBeforeAnother(0))
    expect(site.fleet.certificates.size).toBe(2)
    await refusedFor(site, refusalsBeforeAnother(1) - 2)
    expect(site.fleet.certificates.size).toBe(2)
    await refusedFor(site, 1)
    expect(site.fleet.certificates.size).toBe(3)
    expect(await site.leftOver()).toHaveLength(2)
    const usualMs = 300_000
    const fastestDayMs = [0, 1, 2].reduce((sum, replaced) => sum + refusalsBeforeAnother(replaced) * usualMs, 0)
    expect(fastestDayMs).toBeGreaterThan(10 * 3_600_000)
    expect(refusalsBeforeAnother(50) * usualMs).toBeGreaterThan(24 * 3_600_000)
  })

  test('is kept while the claim does not get through either, which is said', async () => {
    await using site = await bench()
    site.fleet.refusedAttempts = Infinity
    await refusedFor(site, refusalsBeforeAnother(0) - 1)
    const connect = (): Promise<never> => Promise.reject(new AgentError('the claim is refused'))
    const failed = site.attempt({ patience, connect })
    await expect(failed).rejects.toMatchObject({ hint: expect.stringContaining('the claim is refused') as string })
    expect(site.fleet.certificates.size).toBe(1)
    site.fleet.refusedAttempts = 0
    await site.attempt({ patience })
    expect(site.fleet.certificates.size).toBe(1)
  })

  test('is used after all where it is taken once the claim was', async () => {
    await using site = await bench()
    site.fleet.refusedAttempts = Infinity
    await refusedFor(site, refusalsBeforeAnother(0) - 1)
    const connect: typeof site.fleet.connect = async (clientId) => {
      site.fleet.refusedAttempts = 0
      return await site.fleet.connect(clientId)
    }
    await site.attempt({ patience, connect })
    expect(site.fleet.certificates.size).toBe(1)
    expect(await site.leftOver()).toEqual([])
  })

  test('is not given up for what is no refusal: a network, or a role, that is not there', async () => {
    await using site = await bench()
    site.fleet.credentialsError = new AgentError('the role alias is not there')
    await refusedFor(site, refusalsBeforeAnother(0) + 1)
    site.fleet.isOffline = true
    await refusedFor(site, refusalsBeforeAnother(0) + 1)
    expect(site.fleet.certificates.size).toBe(1)
  })

  test('is replaced by one, and used or named, wherever the power is cut', async () => {
    for (let cutAt = 0; ; cutAt += 1) {
      await using site = await bench()
      site.fleet.refusedAttempts = Infinity
      await refusedFor(site, refusalsBeforeAnother(0) - 1)
      const [gone = ''] = site.fleet.certificates.keys()
      const isCut = await site.attempt({ patience }, cutAt).then(
        () => false,
        (error: unknown) => error instanceof Error && error.message === 'power cut',
      )
      site.fleet.refusedAttempts = 0
      const identity = await site.attempt({ patience })
      const isNamed = identity.certificateId !== gone
      expect(await site.leftOver(), `cut at ${cutAt}`).toEqual(isNamed ? [gone] : [])
      expect(site.fleet.registered().length, `cut at ${cutAt}`).toBe(isNamed ? 2 : 1)
      if (!isCut) break
    }
  })
})

test('a certificate for the key of somebody else is not kept, and not registered', async () => {
  await using site = await bench()
  const foreign = makeSigningRequest(await makePrivateKey(), target.clientId)
  const connect = async (clientId: string) => {
    const connection = await site.fleet.connect(clientId)
    return { ...connection, createCertificateFromCsr: () => connection.createCertificateFromCsr(foreign, never) }
  }
  await expect(site.attempt({ connect })).rejects.toThrow('is not for the key of this appliance')
  expect(site.fleet.calls).not.toContain('register')
  expect(await site.attempt()).toMatchObject({ thingName })
  expect(site.fleet.registered()).toHaveLength(1)
})

describe('the next step', () => {
  const pair = { privateKey: 'k', certificate: 'c', certificateId: 'id', token: 't' }
  const base = { kind: 'claim', template: target.template, clientId: target.clientId } as const
  const certificate: PendingIdentity = { ...base, ...pair, step: 'certificate' }
  test.each<[string, PendingIdentity, ProvisioningStep]>([
    ['another template', { ...certificate, template: 'other' }, 'begin-anew'],
    ['another serial number', { ...certificate, clientId: 'panorama-appliance-B2' }, 'begin-anew'],
    ['a rotation', { ...certificate, kind: 'rotation' }, 'begin-anew'],
    ['another template once it is registered', { ...certificate, template: 'other', step: 'registered' }, 'adopt'],
  ])('with a pending identity of %s', (_, pending, step) => {
    expect(nextStep({ pending, currentId: undefined, wanted: target })).toBe(step)
  })
})

async function rejecting(fleet: FakeFleetProvisioning, clientId: string, rejection: FakeRejection) {
  const connection = await fleet.connect(clientId)
  return { ...connection, registerThing: () => Promise.reject(rejection) }
}
