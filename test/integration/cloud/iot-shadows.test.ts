import type { iotshadow } from 'aws-iot-device-sdk-v2'
import { expect, test } from 'vitest'

import { startIotCloud } from '../../cloud/iot/iot-cloud.ts'
import { startDevice } from '../../support/iot-device.ts'
import { lacksMosquitto } from '../../support/mosquitto.ts'
import { until } from '../../support/wait-until.ts'

const shadow = { thingName: 'panorama_dock-1', shadowName: 'panorama-agent' }
const without = await lacksMosquitto('shadows')

test.skipIf(without)('reports and reads the shadow of the agent by the SDK, and hears of what is desired', async () => {
  await using cloud = await startIotCloud()
  const identity = await cloud.appliances.createAppliance(shadow)
  await using device = startDevice(cloud, { identity, clientId: shadow.thingName })
  await device.untilAttempts(1)
  const deltas: unknown[] = []
  const established = Promise.withResolvers<undefined>()
  const stream = device.shadows.createNamedShadowDeltaUpdatedStream(shadow)
  stream.on('subscriptionStatus', () => {
    established.resolve(undefined)
  })
  stream.on('incomingPublish', ({ message }) => deltas.push(message.state))
  stream.open()
  await established.promise

  const report = (reported: object) => device.shadows.updateNamedShadow({ ...shadow, state: { reported } })
  await expect(report({ health: 'ok', extra: 1 })).resolves.toMatchObject({ version: 1 })
  await expect(report({ extra: null })).resolves.toMatchObject({ version: 2 })
  cloud.iot.shadows.update(shadow.thingName, shadow.shadowName, { change: { desired: { health: 'better' } } })
  await until(() => deltas.length === 1)

  expect(deltas).toEqual([{ health: 'better' }])
  await expect(device.shadows.getNamedShadow(shadow)).resolves.toMatchObject({
    state: { desired: { health: 'better' }, reported: { health: 'ok' }, delta: { health: 'better' } },
    version: 3,
  })
  expect(cloud.iot.shadows.get(shadow.thingName, shadow.shadowName)?.state.reported).toEqual({ health: 'ok' })
  expect(cloud.requests.countByAction({ service: 'iot-shadow' })).toEqual(
    new Map([
      ['iot-shadow:UpdateThingShadow', 2],
      ['iot-shadow:GetThingShadow', 1],
    ]),
  )
})

test.skipIf(without)('rejects by the SDK with the code of the service', async () => {
  await using cloud = await startIotCloud()
  const identity = await cloud.appliances.createAppliance(shadow)
  await using device = startDevice(cloud, { identity, clientId: shadow.thingName })
  await device.untilAttempts(1)
  const request: iotshadow.model.UpdateNamedShadowRequest = { ...shadow, state: { reported: { a: 1 } }, version: 7 }

  await expect(device.shadows.updateNamedShadow(request)).rejects.toMatchObject({ modeledError: { code: 409 } })
  cloud.faults.inject({ kind: 'error', status: 429, code: 'Throttled' }, { service: 'iot-shadow', count: 1 })
  await expect(device.shadows.getNamedShadow(shadow)).rejects.toMatchObject({ modeledError: { code: 429 } })
})
