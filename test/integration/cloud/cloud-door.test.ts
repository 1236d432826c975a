import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

import { expect, it } from 'vitest'

import { openCloudDoor } from '../../cloud/iot/cloud-door.ts'
import { Jobs } from '../../cloud/iot/jobs/jobs.ts'
import { Shadows } from '../../cloud/iot/shadows/shadows.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const scriptFile = new URL('../../../scripts/cloud.ts', import.meta.url).pathname

/** A cloud with two things, as the scripts reach it. */
async function openCloud() {
  await using resources = new AsyncDisposableStack()
  const { path: folder } = resources.use(await tempFolder())
  const now = (): number => Date.UTC(2027, 0, 1)
  const jobs = new Jobs({ now, thingExists: () => true, onChange: () => undefined })
  const shadows = new Shadows(
    () => now() / 1_000,
    () => undefined,
  )
  const provisioning = { createClaim: () => Promise.reject(new Error('not asked for')), certificates: () => [] }
  resources.use(await openCloudDoor({ jobs, shadows, provisioning }, join(folder, 'cloud.sock')))
  const owned = resources.move()
  const ask = async (...args: readonly string[]) => {
    const child = spawn(process.execPath, [scriptFile, ...args, '--folder', folder], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [output, error] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
    return { code: child.exitCode, answer: output === '' ? undefined : (JSON.parse(output) as unknown), error }
  }
  return { jobs, shadows, ask, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

it('says what a job that is cancelled without force leaves in progress, and refuses that of one execution', async () => {
  await using cloud = await openCloud()
  cloud.jobs.createJob({ jobId: 'job-1', targets: ['dock-1', 'dock-2'], document: {} })
  cloud.jobs.startNext('dock-1', {})

  expect(await cloud.ask('jobs', 'cancel-execution', '--job', 'job-1', '--thing', 'dock-1')).toEqual({
    code: 1,
    answer: undefined,
    error: 'cloud: InvalidStateTransitionException: job-1 is IN_PROGRESS on dock-1\n',
  })
  expect(await cloud.ask('jobs', 'cancel', '--job', 'job-1')).toEqual({
    code: 0,
    answer: { jobId: 'job-1', inProgress: ['dock-1'] },
    error: 'cloud: job-1 goes on, without --force, on dock-1\n',
  })
  expect(cloud.jobs.describeExecution('dock-2', 'job-1').status).toBe('CANCELED')
  expect(await cloud.ask('jobs', 'cancel-execution', '--job', 'job-1', '--thing', 'dock-1', '--force')).toMatchObject({
    code: 0,
    error: '',
  })
  expect(cloud.jobs.describeExecution('dock-1', 'job-1').status).toBe('CANCELED')
})

it('shows what a thing reports', async () => {
  await using cloud = await openCloud()
  cloud.shadows.update('dock-1', 'panorama-agent', { change: { reported: { health: 'ok' } } })

  expect(await cloud.ask('shadow', 'get', '--thing', 'dock-1')).toMatchObject({
    code: 0,
    answer: { state: { reported: { health: 'ok' } }, version: 1 },
  })
  expect(await cloud.ask('shadow', 'get', '--thing', 'dock-1', '--shadow', 'other')).toMatchObject({
    code: 1,
    error: "cloud: No shadow exists with name: 'dock-1~other'\n",
  })
  expect(await cloud.ask('shadow', 'put')).toMatchObject({ code: 1, error: 'cloud: "shadow put" is not known: get\n' })
})
