import { readFile } from 'node:fs/promises'

import { beforeAll, describe, expect, it } from 'vitest'

import { readTemplate } from '../../../cloud/iam/cloud-policies.ts'
import { parsePolicy } from '../../../cloud/iam/parse-policy.ts'
import type { PolicyDocument } from '../../../cloud/iam/policy-document.ts'
import { allowsIot, type IotAccess } from '../../../cloud/iot/iot-policy.ts'
import { policy } from '../../../integration/cloud/demo-frame.ts'
import { principal, thing } from './iot-principal.ts'

const variables = {
  Account: '123456789012',
  Region: 'us-west-2',
  RoleAlias: 'panorama-appliance',
  ProvisioningTemplate: 'panorama-appliance',
}

describe('the IoT policy of config/cloud/', () => {
  let shipped: PolicyDocument

  beforeAll(async () => {
    shipped = parsePolicy(await readTemplate('iot-device-policy', variables))
  })

  const allowed: readonly IotAccess[] = [
    { action: 'Connect', name: thing },
    ...['get', 'start-next', '$next/get', 'job-1/get', 'job-1/update'].map((request): IotAccess => ({
      action: 'Publish',
      name: `$aws/things/${thing}/jobs/${request}`,
    })),
    // What IotJobsClientv2 subscribes to.
    ...['get/+', 'start-next/+', '$next/get/+', 'job-1/get/+', 'job-1/update/+', 'notify', 'notify-next'].map(
      (filter): IotAccess => ({ action: 'Subscribe', name: `$aws/things/${thing}/jobs/${filter}` }),
    ),
    ...['get/accepted', 'start-next/rejected', '$next/get/accepted', 'job-1/update/rejected', 'notify-next'].map(
      (topic): IotAccess => ({ action: 'Receive', name: `$aws/things/${thing}/jobs/${topic}` }),
    ),
    ...['get', 'update'].map((request): IotAccess => ({
      action: 'Publish',
      name: `$aws/things/${thing}/shadow/name/panorama-agent/${request}`,
    })),
    // What IotShadowClientv2 subscribes to.
    ...['get/+', 'update/accepted', 'update/rejected', 'update/delta', 'update/documents'].map((filter): IotAccess => ({
      action: 'Subscribe',
      name: `$aws/things/${thing}/shadow/name/panorama-agent/${filter}`,
    })),
    { action: 'Receive', name: `$aws/things/${thing}/shadow/name/panorama-agent/update/delta` },
  ]

  it.each(allowed)('allows $action of $name', (access) => {
    expect(allowsIot(principal(shipped), access)).toBe(true)
  })

  const denied: readonly IotAccess[] = [
    { action: 'Connect', name: 'another' },
    { action: 'Publish', name: '$aws/things/another/jobs/get' },
    { action: 'Publish', name: `$aws/things/${thing}/jobs/notify-next` },
    { action: 'Publish', name: `$aws/things/${thing}/shadow/name/panorama-agent/delete` },
    { action: 'Publish', name: `$aws/things/${thing}/shadow/name/another/update` },
    { action: 'Publish', name: `$aws/things/${thing}/shadow/update` },
    { action: 'Publish', name: 'anything/else' },
    { action: 'RetainPublish', name: `$aws/things/${thing}/jobs/get` },
    { action: 'Subscribe', name: '$aws/things/another/jobs/notify' },
    { action: 'Subscribe', name: '$aws/things/+/jobs/notify' },
    { action: 'Subscribe', name: `$aws/things/${thing}/#` },
    { action: 'Subscribe', name: '#' },
    { action: 'Receive', name: '$aws/things/another/jobs/notify' },
  ]

  it.each(denied)('denies $action of $name', (access) => {
    expect(allowsIot(principal(shipped), access)).toBe(false)
  })

  it.each(allowed)('denies $action of $name while the thing is not attached', (access) => {
    expect(allowsIot({ ...principal(shipped), thingName: undefined }, access)).toBe(false)
  })

  it('is not longer than AWS IoT takes, 2,048 characters without white space, in any region', async () => {
    const template = await readFile(new URL('../../../../config/cloud/iot-device-policy.json', import.meta.url), 'utf8')
    const filled = template
      .replaceAll('${Region}', 'ap-southeast-2')
      .replaceAll('${Account}', variables.Account)
      .replaceAll('${RoleAlias}', 'a'.repeat(128))

    expect(filled.replaceAll(/\s/g, '').length).toBeLessThanOrEqual(2048)
  })
})

const csr = '$aws/certificates/create-from-csr/json'
const claimTopic = '$aws/provisioning-templates/panorama-appliance/provision/json'
const rotationTopic = '$aws/provisioning-templates/panorama-appliance-rotation/provision/json'
/** Asking, and hearing the answer as IotIdentityClientv2 does. */
const asks = (topic: string): readonly IotAccess[] => [
  { action: 'Publish', name: topic },
  ...['accepted', 'rejected'].flatMap((answer): readonly IotAccess[] => [
    { action: 'Subscribe', name: `${topic}/${answer}` },
    { action: 'Receive', name: `${topic}/${answer}` },
  ]),
]

describe('the policy of claims of config/cloud/', () => {
  const claim = { clientId: 'panorama-appliance-SN-1', thingName: undefined }
  const may = async (access: IotAccess): Promise<boolean> =>
    allowsIot(
      { ...principal(parsePolicy(await readTemplate('provisioning/iot-claim-policy', variables))), ...claim },
      access,
    )

  it.each([{ action: 'Connect', name: claim.clientId } as const, ...asks(csr), ...asks(claimTopic)])(
    'allows $action of $name',
    async (access) => {
      expect(await may(access)).toBe(true)
    },
  )

  it.each<IotAccess>([
    { action: 'Connect', name: 'panorama_SN-1' },
    { action: 'Connect', name: 'panorama-appliance' },
    ...asks('$aws/certificates/create/json'),
    ...asks(rotationTopic),
    { action: 'Publish', name: `$aws/things/${thing}/jobs/get` },
    { action: 'Subscribe', name: '#' },
    { action: 'RetainPublish', name: csr },
  ])('denies $action of $name', async (access) => {
    expect(await may(access)).toBe(false)
  })
})

describe('the policy of rotations of config/cloud/', () => {
  const may = async (access: IotAccess): Promise<boolean> => {
    const document = parsePolicy(await readTemplate('provisioning/iot-rotation-policy', variables))
    return allowsIot(principal(document), access)
  }

  it.each([...asks(csr), ...asks(rotationTopic)])(
    'allows $action of $name, to a thing under its own name only',
    async (access) => {
      expect(await may(access)).toBe(true)
      const document = parsePolicy(await readTemplate('provisioning/iot-rotation-policy', variables))
      expect(allowsIot({ ...principal(document), thingName: undefined }, access)).toBe(false)
    },
  )

  it.each<IotAccess>([
    { action: 'Connect', name: thing },
    ...asks(claimTopic),
    ...asks('$aws/certificates/create/json'),
    { action: 'Subscribe', name: '$aws/#' },
  ])('denies $action of $name', async (access) => {
    expect(await may(access)).toBe(false)
  })
})

describe('an IoT policy', () => {
  const onResource = (resource: string) => principal(policy({ actions: ['iot:*'], resources: [resource] }))
  const topics = 'arn:aws:iot:us-west-2:123456789012'

  it.each([
    { resource: `${topics}:topicfilter/a/+/c`, name: 'a/+/c', allowed: true },
    { resource: `${topics}:topicfilter/a/+/c`, name: 'a/b/c', allowed: false },
    { resource: `${topics}:topicfilter/a/#`, name: 'a/#', allowed: true },
    { resource: `${topics}:topicfilter/a/#`, name: 'a/b', allowed: false },
    { resource: `${topics}:topicfilter/a/*`, name: 'a/b/#', allowed: true },
    { resource: `${topics}:topicfilter/a/?`, name: 'a/+', allowed: true },
    { resource: `${topics}:topicfilter/a/?`, name: 'a/bc', allowed: false },
    { resource: `${topics}:topic/a/b`, name: 'a/b', allowed: false },
  ])('on $resource answers $allowed for subscribing to $name', ({ resource, name, allowed }) => {
    expect(allowsIot(onResource(resource), { action: 'Subscribe', name })).toBe(allowed)
  })

  it('takes MQTT wildcards of a topic resource as plain characters', () => {
    expect(allowsIot(onResource(`${topics}:topic/a/#`), { action: 'Publish', name: 'a/b' })).toBe(false)
    expect(allowsIot(onResource(`${topics}:topic/a/+`), { action: 'Receive', name: 'a/b' })).toBe(false)
  })

  it('knows the client id and the certificate whether or not a thing is attached', () => {
    const byId = onResource(`${topics}:client/\${iot:ClientId}`)
    expect(allowsIot({ ...byId, thingName: undefined }, { action: 'Connect', name: thing })).toBe(true)
  })

  it('denies everything when there is none', () => {
    expect(allowsIot(principal(undefined), { action: 'Connect', name: thing })).toBe(false)
  })
})
