import { describe, expect, test } from 'vitest'

import type { AgentProcess } from '../support/agent-process.ts'
import type { Fault } from '../cloud/faults.ts'
import { createJobsSite, type JobsSite } from '../support/jobs-site.ts'
import { lacksMosquitto, leavesOutJobFaults } from '../support/mosquitto.ts'
import { waitUntil } from '../support/wait-until.ts'

const minuteMs = 60_000
const change = (flushSeconds: number): object => ({ operation: 'configure', patch: { logs: { flushSeconds } } })
/** Its trial lasts until the job ends otherwise. */
const endless = { operation: 'configure', patch: { role: { alias: 'no-such-alias' } }, confirmSeconds: 3_600 }
const sync = { operation: 'sync-artifacts' }

describe.skipIf(await lacksMosquitto('jobs over a broker that goes away'))(
  'jobs over a link that breaks',
  { timeout: 120_000 },
  () => {
    test.concurrent('a broker that goes away and comes back is no matter while there is nothing to do', async () => {
      await using site = await createJobsSite()
      const agent = await site.startConnected()
      await site.cloud.iot.restartBroker()
      site.createJob('job-1', change(7))
      expect((await site.ended('job-1')).status).toBe('SUCCEEDED')
      expect(timesTaken(agent, 'job-1')).toBeLessThanOrEqual(2) // for a trial, once more at most
    })

    test.concurrent('a broker that goes away and comes back loses no job that was made meanwhile', async () => {
      await using site = await createJobsSite()
      const agent = await site.startConnected()
      await site.cloud.iot.stopBroker()
      await agent.until(({ connection }) => connection?.state === 'down')
      for (const nth of [1, 2]) site.createJob(`job-${nth}`, change(6 + nth))
      await site.cloud.iot.startBroker()
      for (const nth of [1, 2]) expect((await site.ended(`job-${nth}`)).status).toBe('SUCCEEDED')
      expect((await agent.status()).configuration).toMatchObject({ version: 2, state: 'accepted' })
    })

    test.concurrent(
      'a broker that goes away and comes back neither ends a job nor keeps one from being withdrawn',
      async () => {
        await using site = await createJobsSite()
        const agent = await site.startConnected()
        await running(site, agent, endless)
        await site.cloud.iot.restartBroker()
        await agent.until(({ connection }) => connection?.state === 'connected')
        expect(site.statusOf('job-1')).toBe('IN_PROGRESS')
        site.cloud.iot.jobs.cancelJob('job-1', { force: true })
        await agent.until(({ configuration }) => configuration?.version === 0)
      },
    )

    test.concurrent(
      'the agent hears of an end that came while the broker was away, and the job does not run again',
      async () => {
        await using site = await syncSite()
        const agent = await site.startConnected()
        using _ = site.cloud.faults.inject({ kind: 'latency', delayMs: 2_000 }, { service: 's3' })
        await running(site, agent, sync)
        await site.cloud.iot.stopBroker()
        await agent.until(({ jobs }) => jobs?.unreported === 1)
        expect(site.statusOf('job-1')).toBe('IN_PROGRESS')
        await site.cloud.iot.startBroker()
        expect((await site.ended('job-1')).status).toBe('SUCCEEDED')
        expect(timesTaken(agent, 'job-1')).toBe(1)
      },
    )

    test.concurrent.each([
      ['runs on', async (agent: AgentProcess) => await Promise.resolve(agent)],
      [
        'is started again',
        async (agent: AgentProcess, site: JobsSite) => {
          agent.kill('SIGKILL')
          await agent.exited()
          return site.start()
        },
      ],
    ])('ends a job that timed out while the agent was offline, and takes the next: the agent %s', async (_, again) => {
      await using site = await createJobsSite()
      const first = await site.startConnected()
      await running(site, first, endless, 1)
      await site.cloud.iot.stopBroker()
      await first.until(({ connection }) => connection?.state === 'down')
      await site.cloud.setTimeOffset(2 * minuteMs)
      await waitUntil('the job times out', () => site.statusOf('job-1') === 'TIMED_OUT')
      site.createJob('job-2', change(9))
      const agent = await again(first, site)
      await site.cloud.iot.startBroker()
      expect((await site.ended('job-2')).status).toBe('SUCCEEDED')
      const { configuration } = await agent.until(({ jobs }) => jobs?.current === undefined)
      expect(configuration).toMatchObject({ version: 2, state: 'accepted', job: { jobId: 'job-2' } })
      expect(site.statusOf('job-1')).toBe('TIMED_OUT')
    })

    test.concurrent('runs each job once while the service names jobs that have ended already', async () => {
      await using site = await syncSite()
      site.cloud.iot.jobs.staleReadsMs = 1_000
      const agent = await site.startConnected()
      for (const nth of [1, 2, 3]) site.createJob(`job-${nth}`, sync)
      for (const nth of [1, 2, 3]) expect((await site.ended(`job-${nth}`)).status).toBe('SUCCEEDED')
      for (const nth of [1, 2, 3]) expect(timesTaken(agent, `job-${nth}`)).toBe(1)
    })
  },
)

describe.skipIf(await leavesOutJobFaults('jobs whose messages get lost'))(
  'jobs whose messages get lost',
  { timeout: 120_000 },
  () => {
    const once = (action: string) => ({ service: 'iot-jobs', action, count: 1 })
    const faults: readonly (readonly [string, Fault, { service: string; action: string; count: number }])[] = [
      [
        'a request that is refused as one too many',
        { kind: 'error', status: 429, code: 'RequestThrottled' },
        once('UpdateJobExecution'),
      ],
      [
        'a request that the service fails at',
        { kind: 'error', status: 500, code: 'InternalError' },
        once('DescribeJobExecution'),
      ],
      ['a request that gets lost', { kind: 'stall', afterBytes: 0 }, once('UpdateJobExecution')],
      ['an answer that gets lost', { kind: 'stall', afterBytes: 0 }, { service: 'iot', action: 'Receive', count: 2 }],
      ['an answer that comes late', { kind: 'latency', delayMs: 3_000 }, once('UpdateJobExecution')],
      [
        'a connection that is reset with the request',
        { kind: 'reset' },
        { service: 'iot', action: 'Publish', count: 1 },
      ],
    ]
    test.concurrent.each(faults)('brings a job to its end, once, in spite of %s', async (_, fault, options) => {
      await using site = await syncSite()
      const agent = await site.startConnected()
      await agent.until(({ jobs }) => jobs?.state === 'ok')
      using injected = site.cloud.faults.inject(fault, options)
      site.createJob('job-1', sync)
      expect((await site.ended('job-1', 90_000)).status).toBe('SUCCEEDED')
      expect(injected.hits).toBe(options.count)
      expect(agent.output.split('\n').filter((line) => line.includes('job ended'))).toHaveLength(1)
    })
  },
)

async function syncSite(): Promise<JobsSite> {
  const site = await createJobsSite({
    config: ({ names }) => ({
      artifacts: [{ name: 'model', accessPoint: names.accessPointArn, prefix: 'model/', pollSeconds: 3_600 }],
    }),
  })
  await site.cloud.s3.putObject({ bucket: site.cloud.names.bucket, key: 'model/weights.bin', body: 'one' })
  return site
}

/** Makes `job-1` and waits until it runs, on trial if it is one that changes the configuration. */
async function running(site: JobsSite, agent: AgentProcess, document: object, timeoutMinutes = 60): Promise<void> {
  site.createJob('job-1', document, { inProgressTimeoutInMinutes: timeoutMinutes })
  await agent.until(
    ({ jobs, configuration }) =>
      jobs?.current?.jobId === 'job-1' && (document !== endless || configuration?.state === 'trial'),
  )
  await waitUntil('the cloud hears that the job runs', () => site.statusOf('job-1') === 'IN_PROGRESS')
}

function timesTaken(agent: AgentProcess, jobId: string): number {
  const taken = /job received|job is taken up again/
  return agent.output.split('\n').filter((line) => taken.test(line) && line.includes(`jobId=${jobId} `)).length
}
