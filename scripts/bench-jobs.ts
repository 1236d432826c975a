import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'

import { startIotCloud } from '../test/cloud/iot/iot-cloud.ts'
import { AgentProcess } from '../test/support/agent-process.ts'
import { createApplianceFiles } from '../test/support/appliance-files.ts'
import { startDevice } from '../test/support/iot-device.ts'

/**
 * Measures how long a trivial `configure` takes on the real agent process, from the publication of the job in the local
 * cloud to SUCCEEDED, with the new generation and its confirmation in it; beside it, in the same run, one round trip of the
 * device SDK (DescribeJobExecution). Then the same for a change that takes a new session: connection, credentials and all.
 * Prints where the time goes; never fails on time.
 */
const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '20' }, 'session-rounds': { type: 'string', default: '5' } },
})
const thingName = 'panorama_bench'
const peerName = 'panorama_peer'
/** With it, no client id connects twice in a second. */
const pauseMs = 400
const lookEveryMs = 1
const jobWithinMs = 60_000

/** What the agent logs on the way, in order. */
const stages = ['job received', 'a new configuration is on trial', 'the new configuration is confirmed', 'job ended']

interface Round {
  readonly tripMs: number
  /** Of one more, right after that. */
  readonly nextTripMs: number
  readonly jobMs: number
  /** When the stages were logged, since the publication. */
  readonly stagesMs: readonly number[]
  readonly requests: number
}

await using resources = new AsyncDisposableStack()
const folder = await mkdtemp(join(tmpdir(), 'panorama-bench-jobs-'))
resources.defer(() => rm(folder, { recursive: true, force: true }))
const cloud = resources.use(await startIotCloud())
const identity = await cloud.appliances.createAppliance({ thingName: peerName })
const peer = resources.use(startDevice(cloud, { identity, clientId: peerName }))
const appliance = await createApplianceFiles({ cloud, folder, thingName })
const logged = new Map<string, number>()
const agent = resources.use(new AgentProcess({ ...appliance, onLine: noteStage }))
await agent.until(({ connection, credentials: [held] }) => connection?.state === 'connected' && held?.fetches === 1)
await peer.untilAttempts(1)
const load = loadavg().map((each) => each.toFixed(1))
console.log(
  `${cpus().length} cores, ${cpus()[0]?.model ?? 'unknown processor'}, Node ${process.version}, load ${load.join(' ')}`,
)
await timeTrips() // subscribes too
await timeJob('warm-up', { logs: { flushSeconds: 100 } })
await measure('configure', Number(values.rounds), (index) => ({ logs: { flushSeconds: 100 + index } }))
await measure('configure of a new session', Number(values['session-rounds']), (index) => ({
  device: { name: `bench-${index}` },
}))
await resources.disposeAsync()
process.exit(0) // the CRT would keep it alive

async function measure(name: string, rounds: number, patchOf: (index: number) => object): Promise<void> {
  const measured: Round[] = []
  for (let index = 1; index <= rounds; index += 1) {
    const trips = await timeTrips()
    const jobId = `${name}-${index}`.replaceAll(' ', '-')
    measured.push({ ...trips, ...(await timeJob(jobId, patchOf(index))) })
  }
  if (measured.length > 0) printRounds(name, measured)
}

async function timeTrips(): Promise<Pick<Round, 'tripMs' | 'nextTripMs'>> {
  await delay(pauseMs)
  const tripMs = await timeTrip()
  return { tripMs, nextTripMs: await timeTrip() }
}

async function timeTrip(): Promise<number> {
  const startMs = performance.now()
  await peer.jobs.describeJobExecution({ thingName: peerName, jobId: '$next' })
  return performance.now() - startMs
}

async function timeJob(jobId: string, patch: object): Promise<Omit<Round, 'tripMs' | 'nextTripMs'>> {
  await delay(pauseMs)
  logged.clear()
  const before = cloud.requests.count({ service: 'iot-jobs' })
  const document = { version: '1.0', operation: 'configure', patch }
  const startMs = performance.now()
  cloud.iot.jobs.createJob({ jobId, targets: [thingName], document })
  const status = await endOf(jobId)
  const jobMs = performance.now() - startMs
  if (status !== 'SUCCEEDED') throw new Error(`${jobId} is ${status}\n${agent.output}`)
  const requests = cloud.requests.count({ service: 'iot-jobs' }) - before
  await delay(pauseMs) // the last line comes through a pipe
  return { jobMs, stagesMs: stages.map((stage) => (logged.get(stage) ?? Number.NaN) - startMs), requests }
}

async function endOf(jobId: string): Promise<string> {
  const endMs = performance.now() + jobWithinMs
  while (performance.now() < endMs) {
    const { status } = cloud.iot.jobs.describeExecution(thingName, jobId)
    if (status !== 'QUEUED' && status !== 'IN_PROGRESS') return status
    await delay(lookEveryMs)
  }
  throw new Error(`${jobId} does not end\n${agent.output}`)
}

function noteStage(line: string): void {
  const stage = stages.find((text) => line.includes(text))
  if (stage !== undefined) logged.set(stage, performance.now())
}

function printRounds(name: string, all: readonly Round[]): void {
  const trip = spread(all.map(({ tripMs }) => tripMs))
  const job = spread(all.map(({ jobMs }) => jobMs))
  const next = spread(all.map(({ nextTripMs }) => nextTripMs))
  console.log(`DescribeJobExecution by the device SDK: ${text(trip)}; right after another: ${text(next)}`)
  console.log(`${name}, from its publication to SUCCEEDED: ${text(job)}, ${all.length} jobs`)
  console.log(
    `ratio of the medians: ${(job.median / trip.median).toFixed(1)}, ${(job.median / next.median).toFixed(1)}`,
  )
  for (const [index, stage] of stages.entries()) {
    console.log(`  ${stage}: after ${text(spread(all.map(({ stagesMs }) => stagesMs[index] ?? Number.NaN)))}`)
  }
  console.log(`  requests to AWS IoT Jobs for each: ${spread(all.map(({ requests }) => requests)).median}`)
}

interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

function spread(numbers: readonly number[]): Spread {
  const sorted = numbers.toSorted((one, other) => one - other)
  const at = (index: number): number => sorted[index] ?? Number.NaN
  return { median: at(Math.floor(sorted.length / 2)), min: at(0), max: at(sorted.length - 1) }
}

function text({ median, min, max }: Spread): string {
  return `median ${median.toFixed(0)} ms (${min.toFixed(0)} to ${max.toFixed(0)})`
}
