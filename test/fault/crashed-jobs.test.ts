import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { afterAll, describe, expect, it } from 'vitest'

import type { AgentProcess } from '../support/agent-process.ts'
import { isSame, marksOf, type Marks } from '../support/configuration-marks.ts'
import { changeAt, crash, strayFiles, Tally, versionStates } from '../support/crash-points.ts'
import { createJobsSite, type EndedJob, type JobsSite } from '../support/jobs-site.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { waitUntil } from '../support/wait-until.ts'

const points = Number(process.env['PANORAMA_TEST_JOB_CRASHES'] ?? '30')
/** Side by side, as most of the time of a point goes by in waiting. */
const sites = 3
const pointsPerSite = Math.ceil(points / sites)
const lacksBroker = await lacksMosquitto('jobs of an agent that is killed')

/** Calls that make a step of a job durable or visible, and about how many of them a `configure` makes. */
const callKinds = [
  { calls: 'fsync,fdatasync', count: 14 },
  { calls: 'rename,renameat,renameat2', count: 7 },
]
/** About as long as a job takes that is confirmed. */
const spanMs = 1_500
const onTrial = 'a new configuration is on trial'

const phases = new Tally()
const statuses = new Tally()

describe.skipIf(lacksBroker)('an agent that is killed while it configures itself by a job', () => {
  it.concurrent.each(Array.from({ length: sites }, (_, index) => index))(
    'ends in the old configuration or the new one, whole, and in the status that goes with it (%i)',
    async (nth) => {
      await using site = await createJobsSite({ config: () => ({ cameras: {}, metrics: { enabled: false } }) })
      let agent = await started(site)
      let marks = await marksOf(site.appliance)
      for (let point = nth * pointsPerSite; point < Math.min(points, (nth + 1) * pointsPerSite); point += 1) {
        const job = jobOf(marks, point)
        const place = await crashIn(site, agent, job)
        const before = agent.output
        const phase = await phaseOf(site, job.jobId)
        phases.count(phase)
        const where = `point ${point}, ${job.jobId}: ${place}, on the disk: ${phase}`

        agent = await started(site)
        const { status } = await endOf(site, agent, job)
        statuses.count(status)
        const isNew = status === 'SUCCEEDED'
        expect(status, where).toBe(job.isBad ? 'CANCELED' : 'SUCCEEDED')
        marks = isNew ? job.next : marks
        await waitUntil(`${where}: what is in use is what the job's status says`, async () =>
          isSame(await marksOf(site.appliance), marks),
        )
        await agent.until(
          ({ configuration, jobs }) => configuration?.state === 'accepted' && jobs?.current === undefined,
        )
        await expectOnce(site, { job, where, output: before + agent.output })
      }
    },
    1_200_000,
  )

  afterAll(() => {
    console.info(`killed at ${points} points; on the disk then: ${String(phases)}; at the end: ${String(statuses)}`)
    phases.expectKinds(3)
    statuses.expectKinds(2)
  })
})

interface TestJob {
  readonly jobId: string
  /** Its trial is never confirmed; it ends when the job is cancelled. */
  readonly isBad: boolean
  readonly patch: object
  readonly next: Marks
}

function jobOf(marks: Marks, point: number): TestJob {
  const isBad = point % 3 === 2
  const { patch, next } = changeAt(point, marks)
  const jobId = `${isBad ? 'bad' : 'good'}-${point}`
  return { jobId, isBad, patch: { ...patch, ...(isBad ? { role: { alias: 'no-such-alias' } } : {}) }, next }
}

async function started(site: JobsSite): Promise<AgentProcess> {
  return await site.startConnected({ env: { UV_THREADPOOL_SIZE: '1' } }) // strace counts by thread
}

async function crashIn(site: JobsSite, agent: AgentProcess, { jobId, patch }: TestJob): Promise<string> {
  return await crash(agent, {
    spanMs,
    callKinds,
    begin: async () => {
      site.createJob(jobId, { operation: 'configure', patch, confirmSeconds: 600 })
      await Promise.resolve()
    },
    isOver: () => !['QUEUED', 'IN_PROGRESS'].includes(site.statusOf(jobId)),
  })
}

/** One that is never confirmed is cancelled once it is on trial, unless it was before it was killed. */
async function endOf(site: JobsSite, agent: AgentProcess, { jobId, isBad }: TestJob): Promise<EndedJob> {
  if (isBad) {
    const { configuration } = await agent.until(
      ({ configuration: now, jobs }) => now?.job?.jobId === jobId && jobs?.current?.jobId === jobId,
    )
    expect(configuration?.state).toBe('trial')
    site.cloud.iot.jobs.cancelJob(jobId, { force: true })
  }
  return await site.ended(jobId)
}

/** What the disk says of a job: of the version that it brought, or of the job itself before there is one. */
async function phaseOf({ appliance }: JobsSite, jobId: string): Promise<string> {
  const entry = (await ledgerOf(appliance.stateFolder)).find((each) => each.jobId === jobId)
  const [state] = await versionStates(appliance.stateFolder, jobId)
  const outcome = entry?.outcome === undefined ? '' : entry.reported ? ', reported' : ', unreported'
  return `${state ?? (entry === undefined ? 'nothing' : `ledger ${entry.step.name}`)}${outcome}`
}

interface Entry {
  readonly jobId: string
  readonly step: { readonly name: string }
  readonly outcome?: object
  readonly reported: boolean
}

async function ledgerOf(stateFolder: string): Promise<readonly Entry[]> {
  const text = await readFile(join(stateFolder, 'jobs', 'ledger.json'), 'utf8').catch(() => '{"entries":[]}')
  return (JSON.parse(text) as { entries: readonly Entry[] }).entries // the agent's own
}

/** The job ran once, and nothing was left behind or set aside. */
async function expectOnce(
  { appliance }: JobsSite,
  { job, where, output }: { readonly job: TestJob; readonly where: string; readonly output: string },
): Promise<void> {
  const { jobId } = job
  const { stateFolder } = appliance
  const begun = output.split('\n').filter((line) => line.includes(onTrial) && line.includes(jobId))
  expect(begun.length, `${where}: begun`).toBeLessThanOrEqual(1)
  const entries = async (): Promise<readonly Entry[]> =>
    (await ledgerOf(stateFolder)).filter((entry) => entry.jobId === jobId)
  await waitUntil(`${where}: the end is in the ledger`, async () => (await entries()).some(({ reported }) => reported))
  expect(await entries(), `${where}: in the ledger`).toHaveLength(1)
  expect(await versionStates(stateFolder, jobId), `${where}: versions`).toEqual([job.isBad ? 'reverted' : 'accepted'])
  expect(await readdir(join(stateFolder, 'jobs')), `${where}: left behind`).toEqual(['ledger.json'])
  expect(await strayFiles(stateFolder), `${where}: left behind`).toEqual([])
}
