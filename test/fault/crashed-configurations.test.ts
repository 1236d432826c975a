import { randomInt } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { afterAll, expect, it } from 'vitest'

import type { ConfigChange } from '../../agent/config-changes.ts'
import type { StatusDocument } from '../../agent/status/status-document.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { ConfigChanger, configuredAgentCommand } from '../support/config-changer.ts'
import { isSame, marksOf, type Marks } from '../support/configuration-marks.ts'
import { killAtCall } from '../support/kill-at-call.ts'
import { whyNoStrace } from '../support/strace.ts'
import { exitOf, waitUntil } from '../support/wait-until.ts'

const points = Number(process.env['PANORAMA_TEST_CONFIG_CRASHES'] ?? '30')
const pointsPerSite = 10
const noStrace = await whyNoStrace()
if (noStrace !== undefined) console.log(`killed at random moments only, because strace does not work here: ${noStrace}`)

/** Calls that make a version durable or visible, and about how many of them a change makes, its end included. */
const callKinds = [
  { calls: 'fsync,fdatasync', count: 4 },
  { calls: 'rename,renameat,renameat2', count: 2 },
]
/** About as long as a change takes that is taken back. */
const spanMs = 800

const phases: Record<string, number> = {}
const outcomes: Record<string, number> = {}

it.each(Array.from({ length: Math.ceil(points / pointsPerSite) }, (_, index) => index))(
  'uses the old configuration or the new one, whole, and knows which, wherever it is killed (%i)',
  async (nth) => {
    await using site = await createAgentSite({
      config: () => ({ artifacts: [], cameras: {}, metrics: { enabled: false } }),
    })
    const changer = new ConfigChanger(site.appliance)
    let agent = await started(site)
    let marks = await marksOf(site.appliance)
    for (let point = nth * pointsPerSite; point < Math.min(points, (nth + 1) * pointsPerSite); point += 1) {
      const { change, next } = changeOf(marks, point)
      const job = change.job ?? { jobId: '', executionNumber: 0 }
      const place = await crash({ site, agent, changer, change, isAtCall: noStrace === undefined && point % 2 === 1 })
      const where = `point ${point}, ${job.jobId}: ${place}`
      const onDisk = await newestOf(site, job.jobId)
      phases[onDisk] = (phases[onDisk] ?? 0) + 1

      agent = await started(site)
      expect([marks, next], `${where}, in use after the restart`).toContainEqual(await marksOf(site.appliance))
      const outcome = onDisk === 'none' ? undefined : await changer.outcome(job)
      const isAccepted = typeof outcome === 'object' && 'accepted' in outcome
      const wanted = isAccepted ? next : marks
      await waitUntil(`${where}: the configuration is the one of the outcome`, async () =>
        isSame(await marksOf(site.appliance), wanted),
      )
      await agent.until(({ configuration }) => configuration?.state === 'accepted')
      if (onDisk === 'accepted' || onDisk === 'reverted') {
        expect(isAccepted, `${where}, ${onDisk} on the disk`).toBe(onDisk === 'accepted')
      }
      if (isBad(change)) expect(isAccepted, `${where}, confirmed without evidence`).toBe(false)
      else if (onDisk !== 'none') expect(isAccepted, `${where}, taken back for no reason`).toBe(true)
      expect(await strayFiles(site), `${where}, left behind`).toEqual([])
      const said = isAccepted ? 'accepted' : outcome === undefined ? 'never begun' : 'reverted'
      outcomes[said] = (outcomes[said] ?? 0) + 1
      marks = wanted
    }
  },
  600_000,
)

afterAll(() => {
  console.info(
    `killed at ${points} points; on the disk then: ${JSON.stringify(phases)}; outcomes: ${JSON.stringify(outcomes)}`,
  )
  // kills that all fall into one phase prove little
  expect(Object.keys(phases).length).toBeGreaterThan(2)
  expect(Object.keys(outcomes).length).toBeGreaterThan(1)
})

async function started(site: AgentSite): Promise<AgentProcess> {
  const agent = site.start({ command: configuredAgentCommand, env: { UV_THREADPOOL_SIZE: '1' } }) // strace counts by thread
  await agent.until(({ credentials, identity }: StatusDocument) =>
    [identity, ...credentials].every(({ state }) => state === 'ok'),
  )
  return agent
}

/** Every other one needs another session, and some are never confirmed. */
function changeOf(marks: Marks, point: number): { readonly change: ConfigChange; readonly next: Marks } {
  const isOfSession = point % 4 < 2
  const next = {
    flushSeconds: (marks.flushSeconds % 50) + 1,
    refreshSeconds: marks.refreshSeconds + 1,
    name: isOfSession ? JSON.stringify(`name-${point}`) : marks.name,
  }
  const patch = {
    logs: { flushSeconds: next.flushSeconds },
    cameras: { refreshSeconds: next.refreshSeconds },
    ...(isOfSession ? { device: { name: `name-${point}` } } : {}),
  }
  const isBad = randomInt(3) === 0
  const job = { jobId: `${isBad ? 'bad' : 'good'}-${point}`, executionNumber: 1 }
  return { change: { patch, job, confirmSeconds: isBad ? 30 : 1_000 }, next }
}

function isBad({ job }: ConfigChange): boolean {
  return job?.jobId.startsWith('bad') === true
}

interface Victim {
  readonly site: AgentSite
  readonly agent: AgentProcess
  readonly changer: ConfigChanger
  readonly change: ConfigChange
  readonly isAtCall: boolean
}

/** Makes a change and kills the agent at a moment, or at one of its system calls; answers where that was. */
async function crash({ agent, changer, change, isAtCall }: Victim): Promise<string> {
  const ended = exitOf(agent)
  if (!isAtCall) {
    const afterMs = randomInt(spanMs)
    const proposing = changer.propose(change).catch(() => undefined)
    await delay(afterMs)
    agent.kill('SIGKILL')
    await Promise.all([ended, proposing])
    return `${afterMs} ms after the change`
  }
  const { calls, count } = callKinds[randomInt(callKinds.length)] ?? { calls: 'fsync', count: 1 }
  const nth = randomInt(1, count + 1)
  await killAtCall(agent.pid, calls, nth)
  await changer.propose(change).catch(() => undefined)
  const isKilled = await Promise.race([ended.then(() => true), delay(2 * spanMs, false)])
  if (!isKilled) agent.kill('SIGKILL') // it made fewer of these calls
  await ended
  return `at number ${nth} of ${calls}${isKilled ? '' : ', of which there are fewer'}`
}

/** What the disk says of the version of a job. */
async function newestOf({ appliance }: AgentSite, jobId: string): Promise<string> {
  const folder = join(appliance.stateFolder, 'config')
  const names = (await readdir(folder)).filter((name) => /^\d+\.json$/.test(name))
  for (const name of names) {
    const version = JSON.parse(await readFile(join(folder, name), 'utf8')) as { job: { jobId: string }; state: string }
    if (version.job.jobId === jobId) return version.state
  }
  return 'none'
}

async function strayFiles({ appliance }: AgentSite): Promise<readonly string[]> {
  const names = await readdir(join(appliance.stateFolder, 'config'))
  return names.filter((name) => !/^(\d+|base)\.json$/.test(name))
}
