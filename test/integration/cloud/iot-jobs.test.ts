import { iotjobs } from 'aws-iot-device-sdk-v2'
import { expect, test } from 'vitest'

import { startIotCloud } from '../../cloud/iot/iot-cloud.ts'
import { startDevice } from '../../support/iot-device.ts'
import { lacksMosquitto } from '../../support/mosquitto.ts'

const thingName = 'panorama_dock-1'

test.skipIf(await lacksMosquitto('AWS IoT Jobs'))('hands a job to a device, and follows it to its end', async () => {
  await using cloud = await startIotCloud()
  const identity = await cloud.appliances.createAppliance({ thingName })
  cloud.iot.jobs.createJob({ jobId: 'job-1', targets: [thingName], document: { operation: 'reboot' } })
  await using device = startDevice(cloud, { identity, clientId: thingName })
  await device.untilAttempts(1)
  expect(device.attempts).toEqual([{ connected: true, reasonCode: 0, serverKeepAlive: 60 }])

  const { execution } = await device.jobs.startNextPendingJobExecution({ thingName })
  expect(execution).toMatchObject({ jobId: 'job-1', status: 'IN_PROGRESS', jobDocument: { operation: 'reboot' } })
  await device.jobs.updateJobExecution({
    thingName,
    jobId: 'job-1',
    status: iotjobs.model.JobStatus.SUCCEEDED,
    expectedVersion: 2,
  })
  const after = await device.jobs.startNextPendingJobExecution({ thingName })

  expect(after.execution).toBeUndefined()
  expect(cloud.iot.jobs.describeExecution(thingName, 'job-1')).toMatchObject({ status: 'SUCCEEDED', versionNumber: 3 })
})
