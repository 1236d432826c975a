import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

import { expect, it } from 'vitest'

import type { CertificateStatus, ListedCertificate } from '../../cloud/appliances.ts'
import { openCloudDoor } from '../../cloud/iot/cloud-door.ts'
import { Jobs } from '../../cloud/iot/jobs/jobs.ts'
import { Shadows } from '../../cloud/iot/shadows/shadows.ts'
import { runCommand } from '../../support/run-command.ts'
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
  const notAsked = (): never => {
    throw new Error('not asked for')
  }
  const templates = new Map<string, boolean>()
  const certificate: ListedCertificate = { certificateId: 'c1', status: 'ACTIVE', things: ['dock-1'] }
  const certificates = new Map([['c1', certificate]])
  const provisioning = {
    createClaim: notAsked,
    certificates: () => [...certificates.values()],
    setTemplateEnabled: (name: string, enabled: boolean) => void templates.set(name, enabled),
    activationDelayMs: 0,
  }
  const setCertificateStatus = (certificateId: string, status: CertificateStatus): void => {
    if (!certificates.has(certificateId)) throw new Error(`there is no certificate ${certificateId}`)
    certificates.set(certificateId, { ...certificate, status })
  }
  const dropped: string[] = []
  const controlled = {
    ...{ jobs, shadows, provisioning, appliances: { setCertificateStatus } },
    drop: (thing = '') => dropped.push(thing),
    signInPublisher: () => ({ accessKeyId: 'id', secretAccessKey: "s'x", sessionToken: 't', expirationMs: 0 }),
  }
  resources.use(await openCloudDoor(controlled, join(folder, 'cloud.sock')))
  const owned = resources.move()
  const ask = async (...args: readonly string[]) => {
    const child = spawn(process.execPath, [scriptFile, ...args, '--folder', folder], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [output, error] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
    const answer = output.startsWith('{') ? (JSON.parse(output) as unknown) : output === '' ? undefined : output
    return { code: child.exitCode, answer, error }
  }
  return {
    folder,
    jobs,
    shadows,
    templates,
    provisioning,
    dropped,
    ask,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
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

it('takes a certificate out of use, ends the connection of its thing, and takes it back into use', async () => {
  await using cloud = await openCloud()
  const change = (verb: string, id: string) => cloud.ask('certificates', verb, '--certificate', id)

  expect(await change('deactivate', 'c1')).toMatchObject({
    code: 0,
    answer: { certificateId: 'c1', status: 'INACTIVE' },
  })
  expect(cloud.dropped).toEqual(['dock-1'])
  expect(await cloud.ask('certificates', 'list')).toMatchObject({ answer: { certificates: [{ status: 'INACTIVE' }] } })
  expect(await change('activate', 'c1')).toMatchObject({ code: 0, answer: { status: 'ACTIVE' } })
  expect(cloud.dropped).toEqual(['dock-1'])
  expect(await change('deactivate', 'c2')).toMatchObject({ code: 1, error: 'cloud: there is no certificate c2\n' })
  const unnamed = await cloud.ask('certificates', 'deactivate')
  expect(unnamed).toMatchObject({
    code: 1,
    error: expect.stringMatching(/^cloud: --certificate .*is missing/) as string,
  })
})

it('takes a template out of use, and delays certificates', async () => {
  await using cloud = await openCloud()

  expect(await cloud.ask('templates', 'disable')).toMatchObject({ code: 0 })
  expect(await cloud.ask('templates', 'enable', '--template', 'other')).toMatchObject({ code: 0 })
  expect([...cloud.templates]).toEqual([
    ['panorama-appliance', false],
    ['other', true],
  ])
  expect(await cloud.ask('certificates', 'delay', '--seconds', '40')).toMatchObject({ answer: { seconds: 40 } })
  expect(cloud.provisioning.activationDelayMs).toBe(40_000)
  expect(await cloud.ask('certificates', 'delay', '--seconds', 'x')).toMatchObject({
    code: 1,
    error: 'cloud: --seconds must be a number of seconds, not "x"\n',
  })
  expect(await cloud.ask('templates', 'list')).toMatchObject({
    code: 1,
    error: 'cloud: "templates list" is not known: enable or disable\n',
  })
})

it('tells a shell all that a publisher needs', async () => {
  await using cloud = await openCloud()
  const config = { endpoints: { s3: 'https://s3.localhost:1' }, artifacts: [{ accessPoint: 'arn:aws:s3:::x' }] }
  await writeFile(join(cloud.folder, 'agent.json'), JSON.stringify(config))

  const { code, answer } = await cloud.ask('credentials')

  expect(code).toBe(0)
  const script = `${String(answer)}\necho "$AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY $S3_ENDPOINT $ACCESS_POINT $NODE_EXTRA_CA_CERTS"`
  const { stdout } = await runCommand('sh', ['-c', script])
  expect(stdout).toBe(`id s'x https://s3.localhost:1 arn:aws:s3:::x ${cloud.folder}/root-ca.pem\n`)
})
