import { describe, expect, it } from 'vitest'

import {
  decideConnect,
  decidePublish,
  decideSubscription,
  mayReceive,
  reasonCodes,
  type Decision,
} from '../../../cloud/iot/packet-decisions.ts'
import { policy } from '../../../integration/cloud/demo-frame.ts'
import { principal, thing } from './iot-principal.ts'

const everything = principal(policy({ actions: ['iot:*'], resources: ['*'] }))
const nothing = principal(undefined)
const jobs = `$aws/things/${thing}/jobs`
const pass: Decision = { kind: 'pass' }
const disconnect = (reasonCode: number): Decision => ({ kind: 'disconnect', reasonCode })
const refuse = (reasonCode: number): Decision => ({ kind: 'refuse', reasonCode })

describe('decidePublish', () => {
  const message = { topic: 'a', payload: Buffer.alloc(0), qos: 1 as const, retain: false }

  it.each<[string, Partial<Parameters<typeof decidePublish>[0]>, Decision]>([
    ['passes a plain message', {}, pass],
    ['passes 128 KB', { payload: Buffer.alloc(131_072) }, pass],
    ['disconnects above 128 KB', { payload: Buffer.alloc(131_073) }, disconnect(reasonCodes.packetTooLarge)],
    ['passes seven slashes', { topic: 'a/b/c/d/e/f/g/h' }, pass],
    ['disconnects for eight', { topic: 'a/b/c/d/e/f/g/h/i' }, disconnect(reasonCodes.topicNameInvalid)],
    ['passes 256 bytes', { topic: 'ü'.repeat(128) }, pass],
    ['disconnects for 257', { topic: `${'ü'.repeat(128)}a` }, disconnect(reasonCodes.topicNameInvalid)],
    ['disconnects for no topic', { topic: '' }, disconnect(reasonCodes.topicNameInvalid)],
    ['disconnects for a wildcard', { topic: 'a/+' }, disconnect(reasonCodes.topicNameInvalid)],
    ['disconnects for QoS 2', { qos: 2 }, disconnect(reasonCodes.qosNotSupported)],
    ['passes a request for a certificate', { topic: '$aws/certificates/create-from-csr/json' }, pass],
    ['passes a request for a thing', { topic: '$aws/provisioning-templates/t/provision/json' }, pass],
    [
      'disconnects for a request for a key, which is made on the device',
      { topic: '$aws/certificates/create/json' },
      disconnect(reasonCodes.topicNameInvalid),
    ],
    ['passes a request to jobs', { topic: `${jobs}/$next/get` }, pass],
    ['passes a request to a shadow', { topic: `$aws/things/${thing}/shadow/name/panorama-agent/update` }, pass],
    [
      'disconnects for a retained request',
      { topic: `${jobs}/get`, retain: true },
      disconnect(reasonCodes.topicNameInvalid),
    ],
    ['passes a retained message', { retain: true }, pass],
    ['disconnects for an answer', { topic: `${jobs}/get/accepted` }, disconnect(reasonCodes.topicNameInvalid)],
    ['disconnects for a notification', { topic: `${jobs}/notify` }, disconnect(reasonCodes.topicNameInvalid)],
    [
      'disconnects for an unknown reserved topic',
      { topic: '$aws/elsewhere' },
      disconnect(reasonCodes.topicNameInvalid),
    ],
    ['disconnects for the broker’s own topics', { topic: '$SYS/broker' }, disconnect(reasonCodes.topicNameInvalid)],
  ])('%s', (_what, change, decision) => {
    expect(decidePublish({ ...message, ...change }, everything)).toEqual(decision)
  })

  it('refuses what the policy denies, before it looks at what is reserved', () => {
    expect(decidePublish({ ...message, topic: '$aws/elsewhere' }, nothing)).toEqual(refuse(reasonCodes.notAuthorized))
  })

  it('asks for iot:RetainPublish too where a message is retained', () => {
    const noRetain = principal(policy({ actions: ['iot:Publish'], resources: ['*'] }))

    expect(decidePublish({ ...message, retain: true }, noRetain)).toEqual(refuse(reasonCodes.notAuthorized))
    expect(decidePublish(message, noRetain)).toEqual(pass)
  })
})

describe('decideSubscription', () => {
  it.each<[string, Decision]>([
    ['a/b', pass],
    ['a/+/b', pass],
    ['#', pass],
    [`${jobs}/notify-next`, pass],
    [`${jobs}/+/get/+`, pass],
    [`${jobs}/$next/get/+`, pass],
    [`$aws/things/${thing}/shadow/name/panorama-agent/update/delta`, pass],
    ['$aws/certificates/create-from-csr/json/accepted', pass],
    ['$aws/provisioning-templates/t/provision/json/+', pass],
    ['$aws/certificates/create-from-csr/json', disconnect(reasonCodes.topicFilterInvalid)],
    ['$aws/provisioning-templates/t/provision/#', disconnect(reasonCodes.topicFilterInvalid)],
    ['a/b/c/d/e/f/g/h/i', disconnect(reasonCodes.topicFilterInvalid)],
    ['a#', disconnect(reasonCodes.topicFilterInvalid)],
    ['#/a', disconnect(reasonCodes.topicFilterInvalid)],
    ['a/b+', disconnect(reasonCodes.topicFilterInvalid)],
    ['', disconnect(reasonCodes.topicFilterInvalid)],
    ['$aws/elsewhere', disconnect(reasonCodes.topicFilterInvalid)],
    [`${jobs}/get`, disconnect(reasonCodes.topicFilterInvalid)],
    ['$SYS/#', disconnect(reasonCodes.topicFilterInvalid)],
    ['$share/group/a', refuse(reasonCodes.sharedSubscriptionsNotSupported)],
  ])('answers for %j', (topic, decision) => {
    expect(decideSubscription({ topic }, everything)).toEqual(decision)
  })

  it('refuses what the policy denies', () => {
    expect(decideSubscription({ topic: 'a' }, nothing)).toEqual(refuse(reasonCodes.notAuthorized))
  })
})

describe('decideConnect', () => {
  const packet = { cmd: 'connect', clientId: thing } as const

  it.each<[string, string, Decision]>([
    ['its own name', thing, pass],
    ['128 bytes', 'a'.repeat(128), pass],
    ['129 bytes', 'a'.repeat(129), refuse(reasonCodes.clientIdNotValid)],
    ['no bytes', '', refuse(reasonCodes.clientIdNotValid)],
    ['a reserved name', '$aws', refuse(reasonCodes.clientIdNotValid)],
  ])('answers for a client id of %s', (_what, clientId, decision) => {
    expect(decideConnect({ ...packet, clientId }, everything)).toEqual(decision)
  })

  it('refuses MQTT 3.1', () => {
    expect(decideConnect({ ...packet, protocolVersion: 3 }, everything)).toEqual(
      refuse(reasonCodes.unsupportedProtocolVersion),
    )
  })

  it('refuses a will that could not be published', () => {
    const will = { topic: `${jobs}/notify`, payload: 'gone' }
    const connectOnly = principal(policy({ actions: ['iot:Connect'], resources: ['*'] }))

    expect(decideConnect({ ...packet, will }, everything)).toEqual(refuse(reasonCodes.topicNameInvalid))
    expect(decideConnect({ ...packet, will: { ...will, topic: 'a' } }, connectOnly)).toEqual(
      refuse(reasonCodes.notAuthorized),
    )
  })
})

describe('mayReceive', () => {
  it('delivers answers, and keeps requests from everybody but the service', () => {
    expect(mayReceive(`${jobs}/get/accepted`, everything)).toBe(true)
    expect(mayReceive(`${jobs}/get`, everything)).toBe(false)
    expect(mayReceive('a', nothing)).toBe(false)
  })
})
