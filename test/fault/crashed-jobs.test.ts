import { randomInt } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { afterAll, describe, expect, it } from 'vitest'

import type { AgentProcess } from '../support/agent-process.ts'
import { isSame, marksOf, type Marks } from '../support/configuration-marks.ts'
import { createJobsSite, type EndedJob, type JobsSite } from '../support/jobs-site.ts'
import { killAtCall } from '../support/kill-at-call.ts'
import { lacksMosquitto } from '../support/mosquitto.ts'
import { whyNoStrace } from '../support/strace.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const points = Number(process.env['PANORAMA_TEST_JOB_CRASHES'] ?? '12')
const pointsPerSite = 6
const lacksBroker = await lacksMosquitto('jobs of an agent that is killed')
const noStrace = await whyNoStrace()
if (noStrace !== undefined) console.log(`killed at random moments only, because strace does not work here: ${noStrace}`)

/** Calls that make a step of a job durable or visible, and about how many of them a `configure` makes. */
const callKinds = [
  { calls: 'fsync,fdatasync', count: 14 },
  { calls: 'rename,renameat,renameat2', count: 7 },
]
/** About as long as a job takes that is confirmed. */
const spanMs = 1_500
const onTrial = 'a new configuration is on trial'

const phases: Record<string, number> = {}
const statuses: Record<string, number> = {}

describe.skipIf(lacksBroker)('an agent that is killed while it configures itself by a job', () => {
  it.each(Array.from({ length: Math.ceil(points / pointsPerSite) }, (_, index) => index))(
    'ends in the old configuration or the new one, whole, and in the status that goes with it (%i)',
    async (nth) => {
      await using site = await createJobsSite({ config: () => ({ cameras: {}, metrics: { enabled: false } }) })
      let agent = await started(site)
      let marks = await marksOf(site.appliance)
      for (let point = nth * pointsPerSite; point < Math.min(points, (nth + 1) * pointsPerSite); point += 1) {
        const job = jobOf(marks, point)
        const before = await crash(site, agent, job)
        const phase = await phaseOf(site, job.jobId)
        count(phases, phase)
        const where = `point ${point}, ${job.jobId}: ${before.place}, on the disk: ${phase}`

        agent = await started(site)
        const { status } = await endOf(site, agent, job)
        count(statuses, status)
        const isNew = status === 'SUCCEEDED'
        expect(status, where).toBe(job.isBad ? 'CANCELED' : 'SUCCEEDED')
        marks = isNew ? job.next : marks
        await waitUntil(`${where}: what is in use is what the job's status says`, async () =>
          isSame(await marksOf(site.appliance), marks),
        )
        await agent.until(
          ({ configuration, jobs }) => configuration?.state === 'accepted' && jobs?.current === undefined,
        )
        await expectOnce(site, { job, where, output: before.output + agent.output })
      }
    },
    1_200_000,
  )

  afterAll(() => {
    const seen = `on the disk then: ${JSON.stringify(phases)}; at the end: ${JSON.stringify(statuses)}`
    console.info(`killed at ${points} points; ${seen}`)
    // kills that all fall into one phase prove little
    expect(Object.keys(phases).length).toBeGreaterThan(2)
    expect(Object.keys(statuses).length).toBeGreaterThan(1)
  })
})

interface TestJob {
  readonly jobId: string
  /** Its trial is never confirmed; it ends when the job is cancelled. */
  readonly isBad: boolean
  readonly patch: object
  readonly next: Marks
}

/** Every other one needs another session, as every one does that is never confirmed. */
function jobOf(marks: Marks, point: number): TestJob {
  const isOfSession = point % 4 < 2
  const isBad = point % 3 === 2
  const next = {
    flushSeconds: (marks.flushSeconds % 50) + 1,
    refreshSeconds: marks.refreshSeconds + 1,
    name: isOfSession ? JSON.stringify(`name-${point}`) : marks.name,
  }
  const patch = {
    logs: { flushSeconds: next.flushSeconds },
    cameras: { refreshSeconds: next.refreshSeconds },
    ...(isOfSession ? { device: { name: `name-${point}` } } : {}),
    ...(isBad ? { role: { alias: 'no-such-alias' } } : {}),
  }
  return { jobId: `${isBad ? 'bad' : 'good'}-${point}`, isBad, patch, next }
}

async function started(site: JobsSite): Promise<AgentProcess> {
  return await site.startConnected({ env: { UV_THREADPOOL_SIZE: '1' } }) // strace counts by thread
}

/** Makes the job and kills the agent at a moment, or at one of its system calls; answers where that was. */
async function crash(
  site: JobsSite,
  agent: AgentProcess,
  { jobId, patch }: TestJob,
): Promise<{ readonly place: string; readonly output: string }> {
  const ended = exitOf(agent, 60_000)
  const end = async (place: string): Promise<{ readonly place: string; readonly output: string }> => {
    agent.kill('SIGKILL')
    await ended
    return { place, output: agent.output }
  }
  const create = (): void => {
    site.createJob(jobId, { operation: 'configure', patch, confirmSeconds: 600 })
  }
  if (noStrace !== undefined || randomInt(2) === 0) {
    const afterMs = randomInt(spanMs)
    create()
    await delay(afterMs)
    return await end(`${afterMs} ms after the job was made`)
  }
  const { calls, count: upTo } = callKinds[randomInt(callKinds.length)] ?? { calls: 'fsync', count: 1 }
  const nth = randomInt(1, upTo + 1)
  await killAtCall(agent.pid, calls, nth)
  create()
  const isKilled = await Promise.race([ended.then(() => true), delay(2 * spanMs, false)])
  return await end(`at number ${nth} of ${calls}${isKilled ? '' : ', of which there are fewer'}`)
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
  const [state] = await versionsOf(appliance.stateFolder, jobId)
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

/** The states of the versions that a job brought. */
async function versionsOf(stateFolder: string, jobId: string): Promise<readonly string[]> {
  const folder = join(stateFolder, 'config')
  const names = (await readdir(folder).catch(() => [])).filter((name) => /^\d+\.json$/.test(name))
  const texts = await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))
  const versions = texts.map((text) => JSON.parse(text) as { job: { jobId: string }; state: string }) // the agent's own
  return versions.filter(({ job }) => job.jobId === jobId).map(({ state }) => state)
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
  expect(await versionsOf(stateFolder, jobId), `${where}: versions`).toEqual([job.isBad ? 'reverted' : 'accepted'])
  expect(await readdir(join(stateFolder, 'jobs')), `${where}: left behind`).toEqual(['ledger.json'])
  const others = (await readdir(join(stateFolder, 'config'))).filter((name) => !/^(\d+|base)\.json$/.test(name))
  expect(others, `${where}: left behind`).toEqual([])
}

function count(counts: Record<string, number>, what: string): void {
  counts[what] = (counts[what] ?? 0) + 1
}
