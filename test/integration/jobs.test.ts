import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { beforeEach, describe, expect, test } from 'vitest'

import { startIotCloud, type IotCloud } from '../cloud/iot/iot-cloud.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { createApplianceFiles, type ApplianceFiles } from '../support/appliance-files.ts'
import { arrivedMessages } from '../support/arrived-messages.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { until, waitUntil } from '../support/wait-until.ts'

const thingName = 'panorama_dock-1'
const group = `/aws/panorama/devices/${thingName}`

describe.skipIf(await lacksMosquitto('jobs of the agent'))('jobs, on the real process', { timeout: 60_000 }, () => {
  let cloud: IotCloud
  let files: ApplianceFiles
  let owned: AsyncDisposableStack

  beforeEach(async () => {
    owned = new AsyncDisposableStack()
    cloud = owned.use(await startIotCloud())
    const folder = owned.use(await tempFolder())
    const { accessPointArn } = cloud.names
    files = await createApplianceFiles({
      cloud,
      folder: folder.path,
      thingName,
      config: {
        artifacts: [{ name: 'model', accessPoint: accessPointArn, prefix: 'model/', pollSeconds: 3_600 }],
      },
    })
    await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'model/weights.bin', body: 'one' })
    return async () => {
      await owned.disposeAsync()
    }
  })

  const start = async (): Promise<AgentProcess> => {
    const agent = owned.use(new AgentProcess(files))
    await agent.until(({ connection }) => connection?.state === 'connected')
    return agent
  }
  const createJob = (jobId: string, document: object): void => {
    cloud.iot.jobs.createJob({ jobId, targets: [thingName], document: { version: '1.0', ...document } })
  }
  const ended = async (jobId: string): Promise<{ readonly status: string; readonly statusDetails: object }> => {
    const find = () => cloud.iot.jobs.describeExecution(thingName, jobId)
    await waitUntil(`the end of ${jobId}`, () => !['QUEUED', 'IN_PROGRESS'].includes(find().status), 50_000)
    const { status, statusDetails = {} } = find()
    return { status, statusDetails }
  }

  test('configures an appliance, its connection too, and says which version it is', async () => {
    const agent = await start()
    createJob('job-1', { operation: 'configure', patch: { logs: { flushSeconds: 7 } }, expectedVersion: 0 })
    expect(await ended('job-1')).toEqual({ status: 'SUCCEEDED', statusDetails: { version: '1' } })
    const { configuration } = await agent.status()
    expect(configuration).toMatchObject({ version: 1, state: 'accepted', job: { jobId: 'job-1' } })
    createJob('job-2', { operation: 'configure', patch: { logs: { flushSeconds: 8 } }, expectedVersion: 0 })
    expect(await ended('job-2')).toMatchObject({ status: 'REJECTED', statusDetails: { version: '1' } })
    createJob('job-3', { operation: 'configure', patch: { logs: { flushSeconds: 0 } } })
    const faulty = await ended('job-3')
    expect(faulty.status).toBe('REJECTED')
    expect(JSON.stringify(faulty.statusDetails)).toContain('logs.flushSeconds')
    createJob('job-4', { operation: 'configure', patch: { jobs: { keepAliveSeconds: 30 } } })
    expect(await ended('job-4')).toMatchObject({ status: 'SUCCEEDED' })
    expect(cloud.iot.clients()).toMatchObject([{ clientId: thingName, keepAliveSeconds: 30 }])
  })

  test('shows what a dry run would change, and changes nothing', async () => {
    const agent = await start()
    createJob('job-1', { operation: 'configure', patch: { logs: { flushSeconds: 7 } }, dryRun: true })
    expect(await ended('job-1')).toEqual({
      status: 'SUCCEEDED',
      statusDetails: { dryRun: 'yes', changes: 'logs.flushSeconds: 1 -> 7' },
    })
    expect((await agent.status()).configuration).toMatchObject({ version: 0 })
  })

  test.each([
    ['its MQTT endpoint', { endpoints: { mqtt: 'localhost:1' } }],
    ['its credentials', { role: { alias: 'no-such-alias' } }],
  ])('goes back from a configuration that takes an appliance %s', async (_what, patch) => {
    const agent = await start()
    createJob('job-1', { operation: 'configure', patch, confirmSeconds: 30 })
    await agent.until(({ configuration }) => configuration?.state === 'trial')
    const { status, statusDetails } = await ended('job-1') // it takes thirty seconds
    expect(status).toBe('FAILED')
    expect(JSON.stringify(statusDetails)).toContain('not confirmed within 30 s')
    const after = await agent.until(({ connection }) => connection?.state === 'connected')
    expect(after.configuration).toMatchObject({ version: 0, state: 'accepted' })
  })

  test('syncs artifacts, goes back to the release before, and says which is current', async () => {
    const agent = await start()
    await agent.until(({ artifacts }) => artifacts[0]?.state === 'ok')
    await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'model/weights.bin', body: 'two' })
    const current = () => readFile(join(files.stateFolder, 'artifacts/model/current/weights.bin'), 'utf8')
    createJob('job-1', { operation: 'sync-artifacts' })
    expect(await ended('job-1')).toMatchObject({
      status: 'SUCCEEDED',
      statusDetails: { model: expect.stringMatching(/^[0-9a-f]{12}$/) as string },
    })
    expect(await current()).toBe('two')
    createJob('job-2', { operation: 'rollback-artifact', artifact: 'model' })
    expect(await ended('job-2')).toMatchObject({ status: 'SUCCEEDED' })
    expect(await current()).toBe('one')
    createJob('job-3', { operation: 'rollback-artifact', artifact: 'other' })
    expect(await ended('job-3')).toMatchObject({
      status: 'FAILED',
      statusDetails: { hint: expect.any(String) as string },
    })
  })

  test('sends diagnostics to a log stream of their own', async () => {
    await start()
    createJob('job-1', { operation: 'collect-diagnostics', logLines: 100 })
    expect(await ended('job-1')).toMatchObject({
      status: 'SUCCEEDED',
      statusDetails: { stream: 'diagnostics/job-1' },
    })
    const messages = arrivedMessages(cloud, group, 'diagnostics/job-1')
    expect(messages.some((text) => text.startsWith('{"part":"agent"'))).toBe(true)
    expect(messages.some((text) => text.includes('job received'))).toBe(true)
    const found = messages.filter((text) => text.startsWith('{"part":"doctor['))
    expect(found.some((text) => text.includes('"id":"mqtt","level":"pass"'))).toBe(true) // asked of itself
    expect(found.filter((text) => text.includes('"level":"fail"'))).toEqual([])
  })

  test('fails a restart of the agent where no service manager would start it again', async () => {
    await start()
    createJob('job-1', { operation: 'restart-agent' })
    expect(await ended('job-1')).toMatchObject({ status: 'FAILED' })
  })

  test('reports how it is in a shadow, and does so again where somebody deleted it', async () => {
    await start()
    const reported = () => cloud.iot.shadows.get(thingName, 'panorama-agent')?.state.reported
    await until(() => reported() !== undefined)
    expect(reported()).toMatchObject({ configuration: { version: 0, state: 'accepted' }, artifactCount: 1 })
    // at its start, and for the connection; from then on it has to hear of it
    await until(() => cloud.requests.list({ service: 'iot-shadow', action: 'GetThingShadow' }).length === 2)
    await until(() => cloud.iot.clients()[0]?.filters.some((name) => name.endsWith('delete/accepted')) ?? false)
    cloud.iot.deleteShadow(thingName, 'panorama-agent')
    expect(reported()).toBeUndefined()
    await until(() => reported() !== undefined)
  })

  test('takes a configuration back at once whose job is cancelled', async () => {
    const agent = await start()
    const patch = { role: { alias: 'no-such-alias' } }
    createJob('job-1', { operation: 'configure', patch, confirmSeconds: 3_600 })
    await agent.until(({ configuration, jobs }) => configuration?.state === 'trial' && jobs?.current !== undefined)
    cloud.iot.jobs.cancelJob('job-1', { force: true })
    await agent.until(({ configuration }) => configuration?.state === 'accepted' && configuration.version === 0)
    expect(cloud.iot.jobs.describeExecution(thingName, 'job-1').status).toBe('CANCELED')
  })

  test('takes a job that was made while it was off, after it was killed', async () => {
    const first = await start()
    first.kill('SIGKILL')
    await first.exited()
    createJob('job-1', { operation: 'configure', patch: { logs: { flushSeconds: 7 } } })
    await start()
    expect(await ended('job-1')).toMatchObject({ status: 'SUCCEEDED' })
  })
})
