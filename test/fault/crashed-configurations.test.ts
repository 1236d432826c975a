import { randomInt } from 'node:crypto'

import { afterAll, expect, it } from 'vitest'

import type { ConfigChange } from '../../agent/composition/configuration/config-changes.ts'
import type { StatusDocument } from '../../agent/status/status-document.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { createAgentSite, type AgentSite } from '../support/agent-site.ts'
import { ConfigChanger, configuredAgentCommand } from '../support/config-changer.ts'
import { isSame, marksOf, type Marks } from '../support/configuration-marks.ts'
import { changeAt, crash, spreadPlaces, strayFiles, Tally, versionStates } from '../support/crash-points.ts'
import { waitUntil } from '../support/wait-until.ts'

const points = Number(process.env['PANORAMA_TEST_CONFIG_CRASHES'] ?? '30')
const pointsPerSite = 10
const badSeconds = 30

/** Calls that make a version durable or visible, and about how many of them a change makes, its end included. */
const callKinds = [
  { calls: 'fsync,fdatasync', count: 4 },
  { calls: 'rename,renameat,renameat2', count: 2 },
]
const places = spreadPlaces(points, callKinds.length)
const phases = new Tally()
const outcomes = new Tally()

it.each(Array.from({ length: Math.ceil(points / pointsPerSite) }, (_, index) => index))(
  'uses the old configuration or the new one, whole, and knows which, wherever it is killed (%i)',
  async (nth) => {
    await using site = await createAgentSite({
      config: () => ({ artifacts: [], cameras: {}, metrics: { enabled: false } }),
    })
    const changer = new ConfigChanger(site.appliance)
    let agent = await started(site)
    let marks = await marksOf(site.appliance)
    const spanMs = 1.3 * (await undisturbed(changer, marks)) // its end included
    for (let point = nth * pointsPerSite; point < Math.min(points, (nth + 1) * pointsPerSite); point += 1) {
      const { change, next } = changeOf(marks, point)
      const job = change.job ?? { jobId: '', executionNumber: 0 }
      const begin = (): Promise<unknown> => changer.propose(change)
      const killed = await crash(agent, { spanMs, callKinds, begin, place: places[point] })
      const where = `point ${point}, ${job.jobId}: ${killed}`
      const onDisk = (await versionStates(site.appliance.stateFolder, job.jobId))[0] ?? 'none'
      phases.count(onDisk)

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
      expect(await strayFiles(site.appliance.stateFolder), `${where}, left behind`).toEqual([])
      outcomes.count(isAccepted ? 'accepted' : outcome === undefined ? 'never begun' : 'reverted')
      marks = wanted
    }
  },
  600_000,
)

afterAll(() => {
  console.info(`killed at ${points} points; on the disk then: ${String(phases)}; outcomes: ${String(outcomes)}`)
  phases.expectKinds(3)
  outcomes.expectKinds(2)
})

async function started(site: AgentSite): Promise<AgentProcess> {
  const agent = site.start({ command: configuredAgentCommand, env: { UV_THREADPOOL_SIZE: '1' } }) // strace counts by thread
  await agent.until(({ credentials, identity }: StatusDocument) =>
    [identity, ...credentials].every(({ state }) => state === 'ok'),
  )
  return agent
}

/** Makes a change that is taken back, without a kill; answers how long that took. */
async function undisturbed(changer: ConfigChanger, marks: Marks): Promise<number> {
  const job = { jobId: 'bad-undisturbed', executionNumber: 1 }
  const { patch } = changeAt(0, marks)
  const startedMs = performance.now()
  await changer.propose({ patch, job, confirmSeconds: badSeconds })
  const outcome = await changer.outcome(job)
  expect(outcome).toHaveProperty('reverted')
  return performance.now() - startedMs
}

/** Some are never confirmed. */
function changeOf(marks: Marks, point: number): { readonly change: ConfigChange; readonly next: Marks } {
  const { patch, next } = changeAt(point, marks)
  const isBad = randomInt(3) === 0
  const job = { jobId: `${isBad ? 'bad' : 'good'}-${point}`, executionNumber: 1 }
  return { change: { patch, job, confirmSeconds: isBad ? badSeconds : 1_000 }, next }
}

function isBad({ job }: ConfigChange): boolean {
  return job?.jobId.startsWith('bad') === true
}
