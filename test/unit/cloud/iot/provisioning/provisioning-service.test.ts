import { beforeEach, describe, expect, it } from 'vitest'

import { Appliances } from '../../../../cloud/appliances.ts'
import { createRoot } from '../../../../cloud/certificates.ts'
import { CloudClock } from '../../../../cloud/cloud-clock.ts'
import { Faults } from '../../../../cloud/faults.ts'
import { readTemplate } from '../../../../cloud/iam/cloud-policies.ts'
import type { DirectAnswer, DirectCaller } from '../../../../cloud/iot/direct-service.ts'
import { ProvisioningFaults } from '../../../../cloud/iot/provisioning/provisioning-faults.ts'
import { ProvisioningService } from '../../../../cloud/iot/provisioning/provisioning-service.ts'
import { Provisioning } from '../../../../cloud/iot/provisioning/provisioning.ts'
import { Quotas } from '../../../../cloud/quotas.ts'
import { RequestLog } from '../../../../cloud/request-log.ts'
import { policy } from '../../../../integration/cloud/demo-frame.ts'
import { makeSigningRequest } from '../../../../support/signing-request.ts'

const csrTopic = '$aws/certificates/create-from-csr/json'
const claimTemplate = 'panorama-appliance'
const rotationTemplate = 'panorama-appliance-rotation'
const registerTopic = (template: string): string => `$aws/provisioning-templates/${template}/provision/json`
const hourMs = 3_600_000

describe('fleet provisioning', () => {
  let clock: CloudClock
  let appliances: Appliances
  let provisioning: Provisioning
  let faults: ProvisioningFaults
  let requests: RequestLog
  let quotas: Quotas
  let service: ProvisioningService
  let claimant: DirectCaller

  beforeEach(async () => {
    clock = new CloudClock()
    const common = { account: '123456789012', region: 'us-west-2', now: clock.now }
    const nothing = policy({ actions: ['iot:Connect'], resources: ['*'] })
    appliances = new Appliances({
      ...common,
      authority: await createRoot('CN=Test', clock.now()),
      defaultPolicy: () => Promise.resolve(nothing),
    })
    provisioning = new Provisioning({
      ...common,
      appliances,
      claimPolicy: nothing,
      policies: new Map([
        [claimTemplate, nothing],
        [rotationTemplate, nothing],
      ]),
    })
    for (const name of [claimTemplate, rotationTemplate]) {
      provisioning.setTemplate(name, { body: await readTemplate(`provisioning/${name}`, {}) })
    }
    faults = new ProvisioningFaults()
    requests = new RequestLog()
    quotas = new Quotas()
    const account = { now: clock.now, faults: new Faults(), requests, quotas }
    service = new ProvisioningService({ account, provisioning, faults })
    claimant = { clientId: `${claimTemplate}-SN-1`, certificateId: (await provisioning.createClaim()).certificateId }
    return () => service[Symbol.asyncDispose]()
  })

  const ask = (topic: string, body: unknown, caller = claimant): Promise<DirectAnswer | undefined> =>
    service.answer({ topic, payload: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), caller })
  const certify = async (caller = claimant): Promise<{ readonly certificateId: string; readonly token: string }> => {
    const answer = await ask(csrTopic, { certificateSigningRequest: (await makeSigningRequest()).pem }, caller)
    expect(answer?.topic).toBe(`${csrTopic}/accepted`)
    const { certificateId = '', certificateOwnershipToken: token = '' } = strings(answer?.body)
    return { certificateId, token }
  }
  const register = (
    token: string | undefined,
    {
      template = claimTemplate,
      caller = claimant,
      parameters = { SerialNumber: 'SN-1' },
    }: { readonly template?: string; readonly caller?: DirectCaller; readonly parameters?: unknown } = {},
  ): Promise<DirectAnswer | undefined> =>
    ask(registerTopic(template), { certificateOwnershipToken: token, parameters }, caller)
  const accepted = {
    topic: `${registerTopic(claimTemplate)}/accepted`,
    body: { deviceConfiguration: {}, thingName: 'panorama_SN-1' },
  }
  const rejected = (statusCode: number, errorCode: string, template = claimTemplate): unknown => ({
    topic: `${registerTopic(template)}/rejected`,
    body: { statusCode, errorCode, errorMessage: expect.any(String) as unknown },
  })
  const statusOf = (id: string): unknown =>
    provisioning.certificates().find(({ certificateId }) => certificateId === id)

  it('leaves a new certificate pending until a thing is registered with it', async () => {
    const { certificateId, token } = await certify()
    expect(statusOf(certificateId)).toEqual({ certificateId, status: 'PENDING_ACTIVATION', things: [] })

    expect(await register(token)).toEqual(accepted)
    expect(statusOf(certificateId)).toEqual({ certificateId, status: 'ACTIVE', things: ['panorama_SN-1'] })
    expect(appliances.findById(certificateId)?.policy?.statements).toHaveLength(2)
  })

  it('refuses another serial number than that of the client, and takes the right one with the same token', async () => {
    const { certificateId, token } = await certify()

    expect(await register(token, { parameters: { SerialNumber: 'SN-2' } })).toEqual(rejected(403, 'AccessDenied'))
    expect(appliances.hasThing('panorama_SN-2')).toBe(false)
    expect(statusOf(certificateId)).toMatchObject({ status: 'PENDING_ACTIVATION' })
    expect(await register(token)).toEqual(accepted)
    expect(provisioning.hookCalls.map(({ allowed }) => allowed)).toEqual([false, true])
  })

  it('refuses a token that is empty, missing, unknown, used up, or of another client', async () => {
    const { token } = await certify()
    const refusal = rejected(400, 'InvalidCertificateOwnershipToken')

    expect(await register('')).toEqual(refusal)
    expect(await register(undefined)).toEqual(refusal)
    expect(await register('b'.repeat(440))).toEqual(refusal)
    expect(await register(token, { caller: { ...claimant, clientId: `${claimTemplate}-SN-2` } })).toEqual(refusal)
    expect(await register(token, { caller: { ...claimant, certificateId: 'd'.repeat(64) } })).toEqual(refusal)
    expect(await register(token)).toEqual(accepted)
    expect(await register(token)).toEqual(refusal)
  })

  it('deletes a certificate that was not used for an hour of the cloud', async () => {
    const { certificateId, token } = await certify()
    const used = await certify()
    await register(used.token)

    clock.setOffset(hourMs - 60_000)
    expect(statusOf(certificateId)).toBeDefined()
    clock.setOffset(hourMs)
    expect(statusOf(certificateId)).toBeUndefined()
    expect(appliances.findById(certificateId)).toBeUndefined()
    expect(await register(token)).toEqual(rejected(400, 'InvalidCertificateOwnershipToken'))
    expect(statusOf(used.certificateId)).toMatchObject({ status: 'ACTIVE' })
  })

  it('refuses a token that expires while the hook is asked', async () => {
    const { token } = await certify()
    const body = await readTemplate(`provisioning/${claimTemplate}`, {})
    const hook = () => {
      clock.setOffset(hourMs)
      return Promise.resolve({ allowProvisioning: true })
    }
    provisioning.setTemplate(claimTemplate, { body, hook })

    expect(await register(token)).toEqual(rejected(400, 'InvalidCertificateOwnershipToken'))
  })

  it('gives a thing that there is one more certificate, and keeps its other attributes, when it is claimed anew', async () => {
    const before = await certify()
    await register(before.token)
    appliances.createThing('panorama_SN-1', 'dock', { site: 'north', serialNumber: 'old' })
    const after = await certify()

    expect(await register(after.token)).toEqual(accepted)
    expect(appliances.thingAttributes('panorama_SN-1')).toEqual({ site: 'north', serialNumber: 'SN-1' })
    expect(appliances.thingTypeName('panorama_SN-1')).toBe('dock')
    expect(statusOf(before.certificateId)).toMatchObject({ status: 'ACTIVE', things: ['panorama_SN-1'] })
    expect(statusOf(after.certificateId)).toMatchObject({ status: 'ACTIVE', things: ['panorama_SN-1'] })
  })

  it('rotates the certificate of the thing that asks, and of no other', async () => {
    const own = await appliances.createAppliance({ thingName: 'panorama_SN-1' })
    await appliances.createAppliance({ thingName: 'panorama_SN-2' })
    const caller = { clientId: own.thingName, certificateId: own.certificateId }
    const { token } = await certify(caller)
    const rotate = (parameters: unknown) => register(token, { template: rotationTemplate, caller, parameters })
    const refusal = rejected(403, 'AccessDenied', rotationTemplate)

    expect(await rotate({ ThingName: 'panorama_SN-2' })).toEqual(refusal)
    expect(await rotate({})).toEqual(refusal)
    appliances.detach(own.thingName, own.certificateId)
    expect(await rotate({ ThingName: own.thingName })).toEqual(refusal)
    appliances.attach(own.thingName, own.certificateId)
    expect(await rotate({ ThingName: own.thingName })).toMatchObject({ body: { thingName: own.thingName } })
    expect(provisioning.hookCalls.at(-1)?.event).toMatchObject({
      claimCertificateId: own.certificateId,
      clientId: own.thingName,
      templateArn: `arn:aws:iot:us-west-2:123456789012:provisioningtemplate/${rotationTemplate}`,
      parameters: { ThingName: own.thingName },
    })
  })

  it('refuses a template that there is not, or that is not enabled', async () => {
    const { token } = await certify()

    expect(await register(token, { template: 'another' })).toEqual(rejected(404, 'ResourceNotFound', 'another'))
    provisioning.setTemplateEnabled(claimTemplate, false)
    expect(await register(token)).toEqual(rejected(403, 'AccessDenied'))
    provisioning.setTemplateEnabled(claimTemplate, true)
    expect(await register(token)).toEqual(accepted)
  })

  it.each<[string, () => Promise<unknown>]>([
    ['fails', () => Promise.reject(new Error('the function has failed'))],
    ['is late', () => new Promise(() => undefined)],
    ['answers nothing', () => Promise.resolve(undefined)],
    ['answers as text', () => Promise.resolve({ allowProvisioning: 'true' })],
  ])('refuses when the hook %s', async (_what, hook) => {
    const { certificateId, token } = await certify()
    provisioning.hookLimitMs = 10
    provisioning.setTemplate(claimTemplate, { body: await readTemplate(`provisioning/${claimTemplate}`, {}), hook })

    expect(await register(token)).toEqual(rejected(403, 'AccessDenied'))
    expect(statusOf(certificateId)).toMatchObject({ status: 'PENDING_ACTIVATION' })
  })

  it('takes what the hook puts in the place of parameters', async () => {
    const { token } = await certify()
    const hook = () => Promise.resolve({ allowProvisioning: true, parameterOverrides: { SerialNumber: 'SN-9' } })
    provisioning.setTemplate(claimTemplate, { body: await readTemplate(`provisioning/${claimTemplate}`, {}), hook })

    expect(await register(token)).toMatchObject({ body: { thingName: 'panorama_SN-9' } })
  })

  it('lets a token take effect once, however slow the hook is', async () => {
    const { token } = await certify()
    const { promise, resolve } = Promise.withResolvers<unknown>()
    const body = await readTemplate(`provisioning/${claimTemplate}`, {})
    provisioning.setTemplate(claimTemplate, { body, hook: () => promise })

    const both = [register(token), register(token)]
    resolve({ allowProvisioning: true })

    expect(await Promise.all(both)).toEqual([accepted, rejected(400, 'InvalidCertificateOwnershipToken')])
  })

  it.each([
    ['is no JSON', '{', 'InvalidRequest'],
    ['is empty', '', 'InvalidRequest'],
    ['lacks the request', {}, 'InvalidRequest'],
    ['has a field more', { certificateSigningRequest: 'a', certificateName: 'b' }, 'InvalidRequest'],
    ['holds no signing request', { certificateSigningRequest: 'a' }, 'InvalidCsr'],
  ])('makes no certificate when what it gets %s', async (_what, body, errorCode) => {
    expect(await ask(csrTopic, body)).toMatchObject({
      topic: `${csrTopic}/rejected`,
      body: { statusCode: 400, errorCode },
    })
    expect(provisioning.certificates()).toHaveLength(1)
  })

  it('refuses parameters that are no text, or that the template does not have', async () => {
    const { token } = await certify()

    expect(await register(token, { parameters: { SerialNumber: 1 } })).toEqual(rejected(400, 'InvalidRequest'))
    expect(await register(token, { parameters: { SerialNumber: 'SN-1', Site: 'north' } })).toEqual(
      rejected(400, 'InvalidParameters'),
    )
  })

  it('throttles the account', async () => {
    quotas.set('iot-provisioning', 'RegisterThing', 1)
    const { token } = await certify()

    expect(await register('')).toEqual(rejected(400, 'InvalidCertificateOwnershipToken'))
    expect(await register(token)).toEqual(rejected(429, 'ThrottlingException'))
  })

  it('refuses what it is told to, without effect', async () => {
    const { token } = await certify()
    faults.failNext('register-thing', { statusCode: 500, errorCode: 'InternalFailure' })

    expect(await register(token)).toEqual(rejected(500, 'InternalFailure'))
    expect(appliances.hasThing('panorama_SN-1')).toBe(false)
    expect(await register(token)).toEqual(accepted)
  })

  it('loses the answer that it is told to, after it took effect', async () => {
    const { certificateId, token } = await certify()
    faults.dropNextAnswer('register-thing')

    expect(await register('')).toEqual(rejected(400, 'InvalidCertificateOwnershipToken'))
    expect(await register(token)).toBeUndefined()
    expect(statusOf(certificateId)).toMatchObject({ status: 'ACTIVE', things: ['panorama_SN-1'] })
    expect(await register(token)).toEqual(rejected(400, 'InvalidCertificateOwnershipToken'))
    expect(requests.list().map(({ action, status }) => [action, status])).toEqual([
      ['CreateCertificateFromCsr', 200],
      ['RegisterThing', 400],
      ['RegisterThing', 200],
      ['RegisterThing', 400],
    ])
  })

  it('shows a registered certificate, its policies and its thing after the delay', async () => {
    provisioning.activationDelayMs = 60_000
    const { certificateId, token } = await certify()
    expect(await register(token)).toEqual(accepted)

    expect(appliances.findById(certificateId)).toMatchObject({ status: 'PENDING_ACTIVATION', policy: undefined })
    expect(appliances.isAttached('panorama_SN-1', certificateId)).toBe(false)
    clock.setOffset(60_000)
    expect(appliances.findById(certificateId)).toMatchObject({ status: 'ACTIVE' })
    expect(appliances.isAttached('panorama_SN-1', certificateId)).toBe(true)
  })
})

function strings(body: unknown): Readonly<Record<string, string>> {
  const entries = typeof body === 'object' && body !== null ? Object.entries(body) : []
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}
